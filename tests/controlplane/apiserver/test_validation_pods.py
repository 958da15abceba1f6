"""What is refused of a pod's mounts, devices, platform, claims and resources, and what the server rewrites."""

from typing import Any

import pytest

from controlplane.apiserver.strategies import pods as strategy
from controlplane.apiserver.validation import mounts, platforms, pods, resources

Obj = dict[str, Any]
VOLUMES: dict[str, Obj] = {"disk": {"persistentVolumeClaim": {}}, "empty": {"emptyDir": {}}}


@pytest.mark.parametrize(
    ("device", "wanted"),
    [
        ({"name": "disk", "devicePath": "/d"}, []),
        ({"name": "empty", "devicePath": "/d"}, ["name"]),
        ({"name": "other", "devicePath": ""}, ["name", "devicePath"]),
        ({"name": "disk", "devicePath": "/a/../b"}, ["devicePath"]),
        ({"name": "disk", "devicePath": "/m"}, ["devicePath"]),
    ],
)
def test_devices(device: Obj, wanted: list[str]) -> None:
    container = {"volumeDevices": [device], "volumeMounts": [{"name": "empty", "mountPath": "/m"}]}
    if device["name"] == "empty":
        container["volumeMounts"] = []
    found = mounts.devices("c", container, VOLUMES)
    assert [error.field for error in found] == [f"c.volumeDevices[0].{field}" for field in wanted]


def test_a_volume_is_mounted_or_a_device() -> None:
    container = {
        "volumeDevices": [{"name": "disk", "devicePath": "/d"}],
        "volumeMounts": [{"name": "disk", "mountPath": "/d"}],
    }
    assert [error.field for error in mounts.mounts("c", container, VOLUMES)] == [
        "c.volumeMounts[0].name",
        "c.volumeMounts[0].mountPath",
    ]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"os": {"name": "linux"}, "hostPID": True}, []),
        ({"os": {"name": "windows"}, "hostPID": True, "hostUsers": False}, ["s.hostUsers", "s.hostPID"]),
        (
            {"os": {"name": "windows"}, "containers": [{"securityContext": {"runAsUser": 0}}]},
            ["s.containers[0].securityContext.runAsUser"],
        ),
        (
            {"os": {"name": "linux"}, "initContainers": [{"securityContext": {"windowsOptions": {}}}]},
            ["s.initContainers[0].securityContext.windowsOptions"],
        ),
        (
            {"hostNetwork": True, "securityContext": {"windowsOptions": {"hostProcess": True}}, "containers": [{}]},
            [],
        ),
        (
            {
                "hostNetwork": True,
                "containers": [{"securityContext": {"windowsOptions": {"hostProcess": True}}}, {}],
            },
            ["s"],
        ),
        (
            {
                "securityContext": {"windowsOptions": {"hostProcess": True}},
                "containers": [{"securityContext": {"windowsOptions": {"hostProcess": False}}}],
            },
            ["s.containers[0].securityContext.windowsOptions.hostProcess"],
        ),
    ],
)
def test_platforms(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in platforms.platform("s", spec)] == wanted


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        ("cpu", 0),
        ("hugepages-2Mi", 0),
        ("e.com/x", 0),
        ("kubernetes.io/x", 0),
        ("gold", 2),
        ("requests.e.com/x", 1),
        ("a b", 2),
    ],
)
def test_names_of_resources(name: str, complaints: int) -> None:
    found = resources.requirements("r", {"limits": {name: "2Mi", "cpu": "1"}}, [])
    assert len([error for error in found if error.field == f"r.limits[{name}]"]) == complaints


def test_a_seccomp_profile_named_by_annotation() -> None:
    def complaints(profile: str) -> list[str]:
        metadata = {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": profile}}
        found = pods.validate({"metadata": metadata, "spec": {"containers": []}})
        return [error.field for error in found if "seccomp" in error.field]

    assert complaints("runtime/default") == complaints("localhost/a") == []
    assert complaints("x") == ["metadata.annotations.seccomp.security.alpha.kubernetes.io/pod"]


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
