"""What may change in a pod: of itself, by its subresources, in its status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, complete, expect, put, told

TOLERATION = {"key": "a", "operator": "Exists"}
POD = complete(
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "annotations": {"x": "y"}},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "i:1",
                    "resources": {"requests": {"cpu": "1", "e.com/x": "1"}, "limits": {"e.com/x": "1"}},
                }
            ],
            "initContainers": [
                {"name": "d", "image": "i:1", "restartPolicy": "Always", "resources": {"limits": {"cpu": "1"}}}
            ],
            "serviceAccountName": "default",
            "activeDeadlineSeconds": 10,
            "tolerations": [TOLERATION],
        },
    }
)
MIRROR = "kubernetes.io/config.mirror"
ARMOR = "container.apparmor.security.beta.kubernetes.io/c"
GATED = put(POD, {"spec.schedulingGates": [{"name": "g"}], "spec.nodeSelector": {"a": "b"}})
NOT_THESE = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


def terms(*listed: Obj) -> Obj:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(listed)}}}


def key(name: str) -> Obj:
    return {"matchExpressions": [{"key": name, "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("base", "changes", "wanted"),
    [
        (POD, {"metadata.labels": {"a": "b"}}, []),
        (POD, {"spec.containers.0.image": "i:2", "spec.initContainers.0.image": "i:2"}, []),
        (POD, {"spec.containers.0.image": ""}, ["spec.containers[0].image: Required value"] * 2),
        (
            POD,
            {"spec.containers.1": {"name": "z", "image": "i"}},
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
        ),
        (
            POD,
            {"spec.initContainers": []},
            ["spec.initContainers: Forbidden: pod updates may not add or remove containers"],
        ),
        (POD, {"spec.activeDeadlineSeconds": 5}, []),
        (
            POD,
            {"spec.activeDeadlineSeconds": 20},
            ["spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"],
        ),
        (
            POD,
            {"spec.activeDeadlineSeconds": ABSENT},
            ["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
        ),
        (POD, {"spec.tolerations": [{**TOLERATION, "effect": "NoExecute", "tolerationSeconds": 3}, TOLERATION]}, []),
        (
            POD,
            {"spec.tolerations": []},
            ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
        ),
        # One that comes is looked at as a part of the spec and as a change.
        (
            POD,
            {"spec.tolerations": [TOLERATION, {"operator": "Exists", "value": "v"}]},
            ["spec.tolerations[1].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'"] * 2,
        ),
        (
            POD,
            {"spec.schedulingGates": [{"name": "g"}]},
            ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"],
        ),
        (GATED, {"spec.schedulingGates": []}, []),
        (POD, {"spec.hostname": "h"}, [NOT_THESE]),
        (POD, {"spec.terminationGracePeriodSeconds": 1}, [NOT_THESE]),
        (put(POD, {"spec.terminationGracePeriodSeconds": -1}), {"spec.terminationGracePeriodSeconds": 1}, []),
        (POD, {"spec.nodeSelector": {"a": "b"}}, [NOT_THESE]),
        (GATED, {"spec.nodeSelector": {"a": "b", "c": "d"}}, []),
        (
            GATED,
            {"spec.nodeSelector": {"a": "z"}},
            ['spec.nodeSelector: Invalid value: {"a":"z"}: only additions to spec.nodeSelector are allowed'],
        ),
        (GATED, {"spec.affinity": terms(key("a"))}, []),
        (
            put(GATED, {"spec.affinity": terms(key("a"))}),
            {
                "spec.affinity": terms(
                    {"matchExpressions": [*key("a")["matchExpressions"], *key("b")["matchExpressions"]]}
                )
            },
            [],
        ),
        (
            put(GATED, {"spec.affinity": terms(key("a"))}),
            {"spec.affinity": terms(key("a"), key("b"))},
            [f'{TERMS}: Invalid value: [{{"MatchExpressions":[{{"Key":"a","Operator":"Exists","Values":null}}],"Ma'],
        ),
        (
            put(GATED, {"spec.affinity": terms(key("a"))}),
            {"spec.affinity": terms(key("b"))},
            [f'{TERMS}[0]: Invalid value: {{"MatchExpressions":[{{"Key":"b",'],
        ),
        (GATED, {"spec.affinity": {"podAffinity": {}}}, [NOT_THESE]),
        (
            POD,
            {"metadata.annotations": {MIRROR: "m"}, "spec.nodeName": ABSENT},
            [
                f'metadata.annotations[{MIRROR}]: Invalid value: "m": must set spec.nodeName',
                f"metadata.annotations[{MIRROR}]: Forbidden: may not add mirror pod annotation",
                f'metadata.annotations[{MIRROR}]: Invalid value: "m": must set spec.nodeName',
            ],
        ),
        (
            put(POD, {"metadata.annotations": {ARMOR: "unconfined"}}),
            {"metadata.annotations": {}},
            [f"metadata.annotations[{ARMOR}]: Forbidden: may not remove or update AppArmor annotations"],
        ),
    ],
)
def test_a_changed_pod(base: Obj, changes: Obj, wanted: list[str]) -> None:
    expect(told(put(base, changes), base), wanted)


def test_the_refusal_shows_the_difference() -> None:
    (text,) = told(put(POD, {"spec.hostNetwork": True}), POD)
    assert text.endswith(
        '\n  "SecurityContext": {\n-  "HostNetwork": false,\n+  "HostNetwork": true,\n   "HostPID": false,\n'
        '   "HostIPC": false,\n   "ShareProcessNamespace": null,\n'
    ), text


EPHEMERAL = {"name": "e", "image": "i"}


def test_ephemeral_containers_come_and_stay() -> None:
    with_one = put(POD, {"spec.ephemeralContainers": [EPHEMERAL]})
    part = "ephemeralcontainers"
    assert told(with_one, POD, part) == []
    expect(
        told(POD, with_one, part),
        ['spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed\n'],
    )
    expect(
        told(put(with_one, {"spec.ephemeralContainers.0.image": "j"}), with_one, part),
        ['spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed\n@@ -1,6 +1,6 '],
    )
    static = put(with_one, {"metadata.annotations": {MIRROR: "m"}})
    assert told(static, static, part) == ["[]: Forbidden: static pods do not support ephemeral containers"]


R = "spec.containers.0.resources"


@pytest.mark.parametrize(
    ("base", "changes", "wanted"),
    [
        (POD, {f"{R}.requests.cpu": "2"}, []),
        (POD, {f"{R}.requests.memory": "1Mi"}, []),
        (POD, {"spec.initContainers.0.resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}, []),
        (
            POD,
            {f"{R}.requests": {"e.com/x": "1"}},
            ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
        ),
        (
            POD,
            {f"{R}.requests": {"cpu": "1", "e.com/x": "2"}, f"{R}.limits": {"e.com/x": "2"}},
            ["spec: Forbidden: only cpu and memory resources are mutable"],
        ),
        (
            put(POD, {"spec.containers.0.resources": {}, "spec.initContainers": []}),
            {f"{R}.requests.cpu": "1"},
            ['spec: Invalid value: "": Pod QOS Class may not change as a result of resizing'],
        ),
        (
            POD,
            {"spec.containers.0.name": "z"},
            ["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
        ),
        (
            POD,
            {"spec.initContainers": []},
            ["spec.initContainers: Forbidden: initContainers may not be added or removed on resize"],
        ),
        (
            put(POD, {"status.containerStatuses": [{"name": "c", "state": {"running": {}}}]}),
            {f"{R}.requests.cpu": "2"},
            ["spec: Forbidden: Pod running on node without support for resize"],
        ),
        (put(POD, {"spec.os": {"name": "windows"}}), {}, ["[]: Forbidden: windows pods cannot be resized"]),
        (
            put(POD, {"metadata.annotations": {MIRROR: "m"}, "spec.nodeName": "n"}),
            {},
            ["[]: Forbidden: static pods cannot be resized"],
        ),
        (
            put(POD, {"spec.resources": {"requests": {"cpu": "3", "memory": "1Mi"}}}),
            {"spec.resources": {"requests": {"cpu": "4"}}},
            ["spec.resources.requests: Forbidden: pod-level resource requests cannot be removed"],
        ),
        (POD, {"spec.resources": {"requests": {"cpu": "4"}}}, []),
        (
            POD,
            {"spec.resources": {"requests": {"cpu": "4", "hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "2Mi"}}},
            ["spec: Forbidden: only cpu and memory resources are mutable at pod-level"],
        ),
        (
            put(
                POD,
                {
                    "spec.resourceClaims": [{"name": "r", "resourceClaimName": "c"}],
                    "spec.containers.0.resources.claims": [{"name": "r"}],
                },
            ),
            {f"{R}.requests.cpu": "2"},
            ["spec: Forbidden: only cpu and memory resources are mutable"],
        ),
    ],
)
def test_a_resized_pod(base: Obj, changes: Obj, wanted: list[str]) -> None:
    expect(told(put(base, changes), base, "resize"), wanted)


ENDED: Obj = {"name": "c", "state": {"terminated": {"exitCode": 1}}}
RUNS: Obj = {"name": "c", "state": {"running": {}}}


def test_what_has_ended_runs_again_only_where_it_may() -> None:
    def again(code: int = 1, **spec: Any) -> list[str]:
        changes = {f"spec.{field}": value for field, value in spec.items()}
        ended = {"name": "c", "state": {"terminated": {"exitCode": code}}}
        old = put(POD, {**changes, "status.containerStatuses": [ended]})
        return told(put(old, {"status.containerStatuses": [RUNS]}), old, "status")

    refused = ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
    container = {**POD["spec"]["containers"][0], "restartPolicy": "Never"}
    assert again() == again(restartPolicy="OnFailure") == []
    assert again(restartPolicy="Never") == again(0, restartPolicy="OnFailure") == refused
    assert again(containers=[container]) == refused
    assert again(containers=[{**container, "restartPolicyRules": [rule]}]) == []
    everything = [{**container, "restartPolicyRules": [{**rule, "action": "RestartAllContainers"}]}]
    assert again(0, containers=everything) == []


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"qosClass": "Guaranteed"}, ['qosClass: Invalid value: "Guaranteed": field is immutable']),
        (
            {"conditions": [{"type": "Ready", "observedGeneration": -1}, {"type": "a b"}]},
            [
                "conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer",
                'conditions[1].Type: Invalid value: "a b": name part must consist of',
            ],
        ),
        ({"nominatedNodeName": "N"}, ['nominatedNodeName: Invalid value: "N": a lowercase RFC 1123 subdomain']),
        ({"observedGeneration": -1}, ["observedGeneration: Invalid value: -1: must be a non-negative integer"]),
        (
            {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}], "hostIP": "2.2.2.2", "hostIPs": [{"ip": "x"}]},
            [
                'podIPs: Invalid value: [{"IP":"1.1.1.1"},{"IP":"1.1.1.2"}]: may specify no more than one IP for eac',
                'hostIPs[0].ip: Invalid value: "x": must be equal to `hostIP`',
                'hostIPs[0]: Invalid value: "x": must be a valid IP address',
            ],
        ),
        (
            {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "x"}]},
            [
                'podIPs[1]: Invalid value: "x": must be a valid IP address',
                "podIPs: Internal error: failed to check for dual stack with error:invalid IP[1]: x",
                'podIPs: Invalid value: [{"IP":"1.1.1.1"},{"IP":"x"}]: may specify no more than one IP for each',
            ],
        ),
        (
            {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "A"}, {"name": "a"}]},
            [
                'resourceClaimStatuses[0].name: Invalid value: "a": must match the name of an entry in `spec.resourc',
                'resourceClaimStatuses[0].resourceClaimName: Invalid value: "A"',
                'resourceClaimStatuses[1].name: Invalid value: "a": must match the name of an entry',
                'resourceClaimStatuses[1].name: Duplicate value: "a"',
            ],
        ),
        (
            {"extendedResourceClaimStatus": {"resourceClaimName": "", "requestMappings": []}},
            [
                "extendedResourceClaimStatus.requestMappings: Required value: at least one request mapping is required",
                "extendedResourceClaimStatus.resourceClaimName: Required value",
            ],
        ),
        (
            {"nodeAllocatableResourceClaimStatuses": [{"resources": {"e.com/x": "-1"}}]},
            [
                "nodeAllocatableResourceClaimStatuses[0].resourceClaimName: Required value: must not be empty",
                'nodeAllocatableResourceClaimStatuses[0].resourceClaimName: Invalid value: "": no mapping found in pod',
                "nodeAllocatableResourceClaimStatuses[0].containers: Required value: must not be empty",
                'nodeAllocatableResourceClaimStatuses[0].resources[e.com/x]: Invalid value: "e.com/x": must be a node',
                'nodeAllocatableResourceClaimStatuses[0].resources[e.com/x]: Invalid value: "-1": must be non-negative',
            ],
        ),
        (
            {"containerStatuses": [{"name": "c", "user": {"linux": {"uid": -1, "gid": 0}}}]},
            ["containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "c",
                        "allocatedResourcesStatus": [
                            {"name": "e.com/y", "resources": [{"resourceID": "1", "health": "X", "message": ""}]},
                            {"name": "claim:a", "resources": []},
                        ],
                    }
                ]
            },
            [
                'containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: "e.com/y": must match one of ',
                'containerStatuses[0].allocatedResourcesStatus[0].resources[0].health: Unsupported value: "X"',
                "containerStatuses[0].allocatedResourcesStatus[0].resources[0].message: Required value: must be non-",
                'containerStatuses[0].allocatedResourcesStatus[1].name: Invalid value: "claim:a": must match one of ',
            ],
        ),
    ],
)
def test_a_pods_status(status: Obj, wanted: list[str]) -> None:
    changes = {f"status.{field}": value for field, value in status.items()}
    old = put(POD, {"status.qosClass": "Burstable"})
    expect(told(put(old, changes), old, "status"), [f"status.{text}" for text in wanted])


def test_no_node_is_nominated_once_one_has_the_pod() -> None:
    old = put(POD, {"spec.nodeName": "n"})
    expect(
        told(put(old, {"status.nominatedNodeName": "m"}), old, "status"),
        ["status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"],
    )
