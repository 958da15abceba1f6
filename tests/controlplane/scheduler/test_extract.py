"""Views of pods: what counts while one is resized, and of newer objects what a first look would see."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import Obj, copy
from apimachinery.pods.requests import in_effect, pod_requests
from controlplane.scheduler import extract

POD: Obj = {
    "metadata": {"name": "p", "namespace": "default", "uid": "u", "labels": {"app": "web"}},
    "spec": {
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}],
        "initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}, {"name": "first", "image": "i"}],
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
