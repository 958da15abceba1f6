"""What the server rewrites in a new pod."""

from typing import Any

from controlplane.apiserver.strategies import pods as strategy

Obj = dict[str, Any]


def test_a_status_without_a_phase_stays_so() -> None:
    pod: Obj = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c"}]}, "status": {}}
    strategy.default(pod)
    assert "phase" not in pod["status"]


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


def test_a_status_keeps_what_was_seen_and_loses_what_gates_hide() -> None:
    def of(**status: Any) -> Obj:
        return {"metadata": {}, "spec": {}, "status": status}

    old = of(
        qosClass="Burstable",
        observedGeneration=3,
        conditions=[
            {"type": "Ready", "observedGeneration": 2},
            {"type": "Ready", "observedGeneration": 1},
            {"type": "Other"},
        ],
    )
    said = [{"type": "Ready"}, {"type": "Other"}, {"type": "Ready"}, {"type": "Ready"}, {"type": "New"}]
    mounts = [{"name": "v", "volumeStatus": {"image": {"imageRef": "i"}}}]
    new = of(
        conditions=said,
        initContainerStatuses=[{"volumeMounts": mounts}],
        nodeAllocatableResourceClaimStatuses=[{"resourceClaimName": "c"}],
    )
    strategy.prepare_status(new, old)
    assert new["status"] == {
        "qosClass": "Burstable",
        "observedGeneration": 3,
        "conditions": [
            {"type": "Ready", "observedGeneration": 2},
            {"type": "Other"},
            {"type": "Ready", "observedGeneration": 1},
            {"type": "Ready"},
            {"type": "New"},
        ],
        "initContainerStatuses": [{"volumeMounts": [{"name": "v"}]}],
    }
    had = of(
        containerStatuses=[{"volumeMounts": [{"name": "v", "volumeStatus": {}}]}],
        nodeAllocatableResourceClaimStatuses=[{"resourceClaimName": "c"}],
    )
    again = of(**had["status"])
    strategy.prepare_status(again, had)
    assert again["status"] == had["status"]
    later = of(observedGeneration=4, conditions=[{"type": "Ready", "observedGeneration": 4}])
    strategy.prepare_status(later, old)
    assert later["status"]["observedGeneration"] == later["status"]["conditions"][0]["observedGeneration"] == 4
