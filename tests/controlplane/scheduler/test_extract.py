"""Views of pods: what counts while one is resized, and of newer objects what a first look would see."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import Obj, copy
from apimachinery.pods.requests import in_effect, pod_requests
from controlplane.scheduler import extract
from controlplane.scheduler.trim import what_is_scheduled

TERM = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"tier": "front"}}, "matchLabelKeys": ["app"]}
POD: Obj = {
    "metadata": {"name": "p", "namespace": "default", "uid": "u", "labels": {"app": "web"}},
    "spec": {
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}],
        "initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}, {"name": "first", "image": "i"}],
        # Both take up a label of the pod's own.
        "topologySpreadConstraints": [{**TERM, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}},
    },
    "status": {"phase": "Pending"},
}


def status(name: str = "c", has: str = "2", kept: str = "2", **more: Any) -> Obj:
    """A status by which a container has so many cpus, and as many are set aside for it."""
    one = {"name": name, "resources": {"requests": {"cpu": has}}, "allocatedResources": {"cpu": kept}}
    return {("containerStatuses" if name == "c" else "initContainerStatuses"): [one], **more}


INFEASIBLE: Any = {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]}
DEFERRED: Any = {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Deferred"}]}
RESIZED = [
    ({}, 2000),
    (status(), 2000),
    (status(has="1", kept="1"), 2000),
    (status(has="3"), 3000),
    (status(kept="4"), 4000),
    (status(has="1", kept="1", **DEFERRED), 2000),
    (status(has="500m", kept="1", **INFEASIBLE), 1000),
    (status("side", has="1"), 4000),
    (status("side", has="1", kept="500m"), 3000),
    # An init container that ends is not resized.
    (status("first", has="9"), 2000),
]


@pytest.mark.parametrize(("told", "cpu"), RESIZED)
def test_what_counts_while_a_pod_is_resized(told: Obj, cpu: int) -> None:
    assert pod_requests(in_effect(POD["spec"], told))["cpu"] == cpu
    assert extract.pod({**POD, "status": told}).requests["cpu"] == cpu


def test_a_pod_s_own_resources_while_it_is_resized() -> None:
    spec = {**POD["spec"], "resources": {"requests": {"cpu": "5"}}}
    told = {"resources": {"requests": {"cpu": "6", "memory": "9Gi"}}, "allocatedResources": {"cpu": "5"}}
    # What the pod does not ask for by itself is its containers' sum still.
    assert pod_requests(in_effect(spec, told)) == {"cpu": 6000, "memory": 1 << 30}
    assert in_effect(POD["spec"], told) is POD["spec"]


NEWER: list[dict[str, Any]] = [
    {},
    {"spec": {"nodeName": "n"}},
    {"spec": {"tolerations": [{"operator": "Exists"}]}},
    {"spec": {"schedulingGates": [{"name": "g"}]}},
    {"metadata": {"labels": {"app": "other"}}},
    {"metadata": {"labels": {"app": "other", "of-a-node": "zone-1"}}, "spec": {"nodeName": "n"}},
    {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    {"metadata": {"ownerReferences": [{"kind": "Job", "name": "j", "controller": True}]}},
    {"metadata": {"uid": "another"}},
    {"status": {"phase": "Failed"}},
    {"status": {"startTime": "2026-01-01T00:00:00Z"}},
    {"status": {"nominatedNodeName": "n"}},
    {"status": status(has="3")},
    {"status": {**status(has="1", kept="1"), **INFEASIBLE}},
]


@pytest.mark.parametrize("after", NEWER)
@pytest.mark.parametrize("before", NEWER)
def test_a_newer_view_is_what_a_first_look_sees(before: Obj, after: Obj) -> None:
    old, new = (_changed(change) for change in (before, after))
    known = extract.pod(old)
    found = extract.newer(new, old, known)
    assert found == extract.pod(new)
    assert (found is known) == (found == known)


def _changed(change: Obj) -> Obj:
    obj = copy(POD)
    for part, fields in change.items():
        obj[part].update(fields)
    return obj


WHOLE: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {**POD["metadata"], "managedFields": [{}], "annotations": {"a": "b"}, "creationTimestamp": "2026"},
    "spec": {
        **POD["spec"],
        "priority": 3,
        "hostNetwork": True,
        "hostUsers": False,
        "preemptionPolicy": "Never",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "overhead": {"cpu": "10m"},
        "schedulingGates": [{"name": "g"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "volumes": [
            {"name": "token", "projected": {"sources": []}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "disk", "gcePersistentDisk": {"pdName": "d"}},
            {"name": "files", "image": {"reference": "files:1"}},
        ],
    },
}


@pytest.mark.parametrize("change", NEWER)
def test_nothing_is_left_out_that_a_view_is_made_of(change: Obj) -> None:
    whole = copy(WHOLE)
    for part, fields in change.items():
        whole.setdefault(part, {}).update(fields)
    whole["spec"]["containers"][0].update(ports=[{"hostPort": 80}], env=[{"name": "A", "value": "b"}], stdin=True)
    kept = what_is_scheduled(copy(whole))
    assert extract.pod(kept) == extract.pod(whole)
    assert "env" not in kept["spec"]["containers"][0] and "managedFields" not in kept["metadata"]
    assert what_is_scheduled(copy(whole))["spec"]["containers"] is kept["spec"]["containers"]


def test_copies_are_views_of_one_wish_and_what_differs_is_not() -> None:
    def made(name: str, node: str = "", cpu: str = "1", **meta: Any) -> extract.Pod:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        spec = {"nodeName": node, "containers": [container], "tolerations": [{"operator": "Exists"}]}
        return extract.pod({"metadata": {"name": name, "namespace": "n", "uid": f"u-{name}", **meta}, "spec": spec})

    one, two = made("a"), made("b", node="node1")
    assert (one.key, one.uid, one.node_name) == ("n/a", "u-a", "")
    assert (two.key, two.uid, two.node_name) == ("n/b", "u-b", "node1")
    assert one.requests is two.requests and one.tolerations is two.tolerations
    assert made("c", cpu="2").requests == {"cpu": 2000} and one.requests == {"cpu": 1000}
    assert made("d", labels={"a": "b"}).label_set == {("a", "b")} and not one.label_set
    for number in range(extract.REMEMBERED + 10):
        made("e", labels={"number": str(number)})
    assert len(extract._wishes) <= extract.REMEMBERED and made("f").requests == one.requests
