"""What is refused of kinds that make pods, of their changes and of what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.rules.tables import rules
from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, complete, expect, kind_of, put, teller, told

LABELS = {"app": "a"}
POD: Obj = {"containers": [{"name": "c", "image": "i"}]}
LABEL = "a lowercase RFC 1123 label must consist of"


def made(kind: str, api_version: str = "apps/v1", **spec: Any) -> Obj:
    template = {"metadata": {"labels": LABELS}, "spec": POD}
    whole = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}, "spec": whole}


CONTROLLER = made("ReplicationController", "v1", selector=LABELS)
MISMATCH = 'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`'
LIFELONG = ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet")


@pytest.mark.parametrize("kind", LIFELONG)
@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.selector": {"matchLabels": {"app": "b"}}}, [MISMATCH]),
        (
            {"spec.template": ABSENT},
            [MISMATCH.replace('{"app":"a"}', "null"), "spec.template.spec.containers: Required value"],
        ),
        (
            {"spec.template.spec.restartPolicy": "Never"},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            {"spec.template.spec.activeDeadlineSeconds": 5},
            ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in "],
        ),
        ({"spec.template.spec.nodeName": "A"}, ['spec.template.spec.nodeName: Invalid value: "A": a lowercase RFC']),
        ({"spec.minReadySeconds": -1}, ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"]),
    ],
)
def test_what_keeps_pods(kind: str, changes: Obj, wanted: list[str]) -> None:
    expect(teller(made(kind))(changes), wanted)


@pytest.mark.parametrize(
    ("kind", "what"),
    [("Deployment", "deployment"), ("ReplicaSet", "deployment"), ("StatefulSet", "statefulset")],
)
def test_a_selector_selects_something(kind: str, what: str) -> None:
    tell = teller(made(kind))
    expect(tell({"spec.selector": ABSENT}), ["spec.selector: Required value", MISMATCH])
    expect(tell({"spec.selector": {}}), [f"spec.selector: Invalid value: {{}}: empty selector is invalid for {what}"])
    expression = {"matchExpressions": [{"key": "a", "operator": "Near"}]}
    expect(
        tell({"spec.selector": expression, "spec.template.spec": {}}),
        ['spec.selector.matchExpressions[0].operator: Invalid value: "Near"', 'spec.selector: Invalid value: {"match'],
    )
    # A selector by what is no label selects nothing, so that no template is held against it.
    expect(
        tell({"spec.selector": {"matchLabels": {"a": "/b"}}}),
        ['spec.selector.matchLabels: Invalid value: "/b"', 'spec.selector: Invalid value: {"matchLabels":{"a":"/b"}}'],
    )


@pytest.mark.parametrize("kind", LIFELONG[:3])
def test_a_selector_stands(kind: str) -> None:
    both = {**LABELS, "b": "c"}
    old = put(made(kind), {"spec.template.metadata.labels": both})
    expect(
        told(put(old, {"spec.selector.matchLabels": both}), old),
        ['spec.selector: Invalid value: {"matchLabels":{"app":"a","b":"c"}}: field is immutable'],
    )


ROLLING = "spec.strategy.rollingUpdate"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({ROLLING: {"maxUnavailable": 0, "maxSurge": "0%"}}, [f"{ROLLING}.maxUnavailable: Invalid value: 0: may not"]),
        (
            {ROLLING: {"maxUnavailable": "101%"}},
            [f'{ROLLING}.maxUnavailable: Invalid value: "101%": must not be great'],
        ),
        (
            {ROLLING: {"maxUnavailable": "5", "maxSurge": 0}},
            [f'{ROLLING}.maxUnavailable: Invalid value: "5": a valid percent string'],
        ),
        (
            {ROLLING: {"maxUnavailable": "", "maxSurge": 1}},
            [f'{ROLLING}.maxUnavailable: Invalid value: "": a valid percent string'],
        ),
        ({ROLLING: {"maxSurge": "x"}}, [f'{ROLLING}.maxSurge: Invalid value: "x": a valid percent string must be a']),
        ({"spec.strategy": {"type": "Recreate", "rollingUpdate": {}}}, [f"{ROLLING}: Forbidden: may not be specified"]),
        ({"spec.strategy.type": "X"}, ['spec.strategy: Unsupported value: {"Type":"X","RollingUpdate":null}: support']),
        (
            {"spec.progressDeadlineSeconds": 5, "spec.minReadySeconds": 5},
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
    ],
)
def test_deployments(changes: Obj, wanted: list[str]) -> None:
    expect(teller(made("Deployment"))(changes), wanted)


UPDATE = "spec.updateStrategy"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (
            {f"{UPDATE}.rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
            [f"{UPDATE}.rollingUpdate.maxSurge: Invalid"],
        ),
        (
            {f"{UPDATE}.rollingUpdate": {"maxUnavailable": 0}},
            [f"{UPDATE}.rollingUpdate.maxUnavailable: Required value"],
        ),
        ({f"{UPDATE}.type": "X"}, [f'{UPDATE}: Unsupported value: {{"Type":"X","RollingUpdate":null}}: supported val']),
        # Upstream's own type has zeros where the published one has nothing.
        (
            {UPDATE: {"type": "X", "rollingUpdate": {}}},
            [f'{UPDATE}: Unsupported value: {{"Type":"X","RollingUpdate":{{"MaxUnavailable":0,"MaxSurge":0}}}}: sup'],
        ),
        ({f"{UPDATE}.type": "OnDelete"}, []),
        ({"spec.selector.matchLabels": {"a": "/b"}}, ['spec.selector.matchLabels: Invalid value: "/b"']),
    ],
)
def test_daemon_sets(changes: Obj, wanted: list[str]) -> None:
    expect(teller(made("DaemonSet"))(changes), wanted)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"spec.podManagementPolicy": "X"}, ["spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady'"]),
        ({f"{UPDATE}.rollingUpdate": {"partition": -1}}, [f"{UPDATE}.rollingUpdate.partition: Invalid value: -1"]),
        (
            {UPDATE: {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
            [f'{UPDATE}.rollingUpdate: Invalid value: {{"Partition":1,"MaxUnavailable":null}}: only allowed for upd'],
        ),
        (
            {UPDATE: {"type": "OnDelete", "rollingUpdate": {}}},
            [f'{UPDATE}.rollingUpdate: Invalid value: {{"Partition":0,"MaxUnavailable":null}}: only allowed for upd'],
        ),
        (
            {"spec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "X"}},
            ['spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "X": supported values: "Re'],
        ),
        ({"spec.ordinals": {"start": -1}}, ["spec.ordinals.start: Invalid value: -1: must be greater than or equal"]),
        ({"spec.serviceName": "A"}, [f'spec.serviceName: Invalid value: "A": {LABEL}']),
        (
            {"spec.volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]},
            ["spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"],
        ),
    ],
)
def test_stateful_sets(changes: Obj, wanted: list[str]) -> None:
    expect(teller(made("StatefulSet"))(changes), wanted)


def test_a_change_is_not_blamed_for_what_cannot_be_changed_any_more() -> None:
    claim = {"metadata": {"name": "x"}, "spec": {}}
    old = made("StatefulSet", serviceName="Bad_", volumeClaimTemplates=[claim])
    old["spec"]["template"] = {"metadata": {"labels": LABELS}, "spec": {"containers": []}}
    assert told(old)
    assert told(put(old, {"spec.replicas": 3}), old) == []
    expect(told(put(old, {"spec.replicas": -3}), old), ["spec.replicas: Invalid value: -3"])
    expect(told(put(old, {"spec.serviceName": "t"}), old), ["spec: Forbidden: updates to statefulset spec for fields"])


def test_a_way_to_label_volumes_stays_open_to_those_who_chose_one() -> None:
    path = "spec.template.spec.securityContext"
    mounted, chosen = {path: {"seLinuxChangePolicy": "MountOption"}}, {path: {"seLinuxChangePolicy": "Recursive"}}
    old = made("Deployment")
    refused = f'{path}.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"'
    assert told(put(old, mounted), old) == [refused]
    assert told(put(old, mounted), put(old, chosen)) == []


def test_replication_controllers() -> None:
    tell = teller(CONTROLLER)
    assert tell({}) == []
    expect(tell({"spec.selector": {"app": "b"}}), [MISMATCH])
    expect(tell({"spec.template": ABSENT}), ["spec.selector: Required value", "spec.template: Required value"][1:])
    expect(
        tell({"spec.template.spec.restartPolicy": "Never"}),
        ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    )


def test_revisions() -> None:
    revision: Obj = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "x", "namespace": "n"}}
    old = {**revision, "revision": 1, "data": {"a": 1}}
    assert told(old) == []
    assert told(revision) == ["data: Required value: data is mandatory"]
    assert told({**old, "data": [1]}) == ["data: Required value: data must be a valid JSON object"]
    assert told({**old, "data": {"a": 2}}, old) == ['data: Invalid value: {"a":2}: field is immutable']
    assert told({**old, "revision": -1}, old) == ["revision: Invalid value: -1: must be greater than or equal to 0"]


# --- statuses ---


def said(obj: Obj, before: Obj | None = None, **status: Any) -> list[str]:
    """What is told of a status, as a controller writes it over one from before."""
    whole = complete(obj)
    found = rules().check(kind_of(obj), {**whole, "status": status}, {**whole, "status": before or {}}, "status")
    return [str(error) for error in found]


@pytest.mark.parametrize("obj", [*(made(kind) for kind in LIFELONG), CONTROLLER], ids=lambda obj: str(obj["kind"]))
def test_no_part_of_a_status_is_greater_than_the_whole(obj: Obj) -> None:
    fine: dict[str, Any] = {
        "replicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "fullyLabeledReplicas": 3,
        "updatedReplicas": 3,
    }
    assert said(obj, **fine) == []
    if obj["kind"] == "DaemonSet":
        expect(said(obj, numberReady=-1), ["status.numberReady: Invalid value: -1: must be greater than or equal to 0"])
        return
    shown = "status.readyReplicas" if obj["kind"] == "StatefulSet" else "readyReplicas"
    assert (
        said(obj, observedGeneration=-1, replicas=4, readyReplicas=5, availableReplicas=7)[-4:]
        == [
            "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
            "status.readyReplicas: Invalid value: 5: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 7: cannot be greater than status.replicas",
            f"status.availableReplicas: Invalid value: 7: cannot be greater than {shown}",
        ]
        or obj["kind"] == "Deployment"
    )


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "StatefulSet"])
def test_collisions_are_counted_up(kind: str) -> None:
    assert said(made(kind), {"collisionCount": 1}, collisionCount=2) == []
    told_of = "status.collisionCount: Invalid value: {}: cannot be decremented"
    assert said(made(kind), {"collisionCount": 2}, collisionCount=1) == [told_of.format(1)]
    assert said(made(kind), {"collisionCount": 2}) == [told_of.format(0)]
