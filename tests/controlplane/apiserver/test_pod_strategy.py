"""What the server rewrites in a new pod."""

from typing import Any

from controlplane.apiserver.strategies import pods as strategy

Obj = dict[str, Any]


def test_match_label_keys_become_requirements() -> None:
    pod: Obj = {
        "metadata": {"labels": {"k": "v"}},
        "spec": {
            "containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGUSR1"}}],
            "topologySpreadConstraints": [
                {"labelSelector": {}, "matchLabelKeys": ["k", "absent"]},
                {"matchLabelKeys": ["k"]},
            ],
            "affinity": {
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"podAffinityTerm": {"labelSelector": {"matchLabels": {"a": "b"}}, "mismatchLabelKeys": ["k"]}}
                    ]
                }
            },
        },
    }
    strategy.prepare_create(pod)
    spread = pod["spec"]["topologySpreadConstraints"]
    assert spread[0]["labelSelector"] == {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}
    assert "labelSelector" not in spread[1]
    anti = pod["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]
    assert anti["podAffinityTerm"]["labelSelector"]["matchExpressions"][0]["operator"] == "NotIn"
    assert "lifecycle" not in pod["spec"]["containers"][0]
