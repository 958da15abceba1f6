"""ResourceClaims of pods: how they are made, when they are given back, and what keeps them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.kinds import POD, Kind
from apimachinery.objects import Obj
from apimachinery.pods import devices
from apimachinery.pods.devices import FINALIZER, Use
from controlplane.controllers.context import Context, Informers
from controlplane.controllers.resourceclaims import plan
from controlplane.controllers.resourceclaims.controller import ResourceClaimController
from controlplane.controllers.resourceclaims.tainted import evict_at, evicting
from controlplane.controllers.settings import Settings
from tests.controlplane.controllers.build import T0, pod

GONE = "2026-01-01T00:00:00Z"
ENTRIES = [{"name": "gpu", "resourceClaimTemplateName": "t"}, {"name": "net", "resourceClaimName": "shared"}]


def with_statuses(*statuses: Obj) -> Obj:
    wanted = pod("p", resourceClaims=ENTRIES)
    wanted["status"]["resourceClaimStatuses"] = list(statuses)
    return wanted


@pytest.mark.parametrize(
    ("statuses", "first"),
    [
        ((), Use("gpu", "", "t")),
        (({"name": "gpu", "resourceClaimName": "p-gpu-x"},), Use("gpu", "p-gpu-x", "t")),
        (({"name": "gpu"},), Use("gpu", "", "t", needed=False)),
    ],
)
def test_which_claims_a_pod_uses(statuses: tuple[Obj, ...], first: Use) -> None:
    assert list(devices.uses(with_statuses(*statuses))) == [first, Use("net", "shared")]


def claim(*users: str, **parts: Any) -> Obj:
    status: Obj = {"allocation": {"devices": {}}} if parts.pop("allocated", True) else {}
    if users:
        status["reservedFor"] = [{"resource": "pods", "name": user, "uid": f"uid-{user}"} for user in users]
    meta = {"name": "c", "namespace": "default", "finalizers": [FINALIZER, "other"], **parts}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": meta, "status": status}


def test_a_claim_is_made_of_a_template_and_known_by_its_pod() -> None:
    template = {"spec": {"metadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}}, "spec": {"devices": {}}}}
    (use, _) = devices.uses(pod("p", resourceClaims=ENTRIES))
    made = plan.made(pod("p"), use, template, "p-gpu-abcde")
    assert made["metadata"] == {
        "name": "p-gpu-abcde",
        "generateName": "p-gpu-",
        "namespace": "default",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p", "controller": True}],
        "annotations": {"a": "2", "resource.kubernetes.io/pod-claim-name": "gpu"},
        "labels": {"l": "1"},
    }
    assert made["spec"] == {"devices": {}}
    assert plan.found(pod("p"), use, [made]) == "p-gpu-abcde"
    assert plan.found(pod("p"), Use("other", "", "t"), [made]) == ""
    assert devices.not_made_for(made, pod("p")) == ""
    assert devices.not_made_for(made, pod("q")).endswith("was not created for Pod default/q (Pod is not owner)")


def test_long_names_are_cut_on_both_sides() -> None:
    base = plan.base_of("p" * 60, "c" * 20)
    assert len(base) <= 58 and base.startswith("p") and base.endswith("c") and "-" in base


RELEASES = [
    # (claim, who has ended, users left, allocated still, finalizer still)
    (claim("a", "b"), {"uid-a"}, ["b"], True, True),
    (claim("a"), {"uid-a"}, [], False, False),
    (claim("a"), set(), ["a"], True, True),
    # Allocated and never used: a driver need not reserve what it allocates.
    (claim(), set(), [], True, True),
    (claim(deletionTimestamp=GONE), set(), [], False, False),
    (claim("a", deletionTimestamp=GONE), set(), ["a"], True, True),
    (claim(allocated=False), set(), [], False, True),
    (claim(allocated=False, deletionTimestamp=GONE), set(), [], False, False),
    # Another's way to allocate: what it gave is its own to take.
    (claim("a", finalizers=["other"]), {"uid-a"}, [], True, False),
]


@pytest.mark.parametrize(("there", "ended", "users", "allocated", "kept"), RELEASES)
def test_what_is_left_of_a_claim(there: Obj, ended: set[str], users: list[str], allocated: bool, kept: bool) -> None:
    left = plan.released(there, ended)
    status = left["status"]
    assert [who["name"] for who in status.get("reservedFor") or ()] == users
    assert ("allocation" in status) is allocated
    final = plan.unprotected(left, there) or left
    assert (FINALIZER in final["metadata"]["finalizers"]) is kept
    assert "other" in final["metadata"]["finalizers"]
    if not ended and not there["metadata"].get("deletionTimestamp"):
        assert left is there


def test_a_pod_that_the_cache_does_not_show_yet_keeps_its_reservation() -> None:
    """The cache shows the one before it of its name, as those of a StatefulSet have."""
    written: list[Obj] = []

    class Server:
        async def get(self, *_: Any) -> Obj:
            return newest

        async def update(self, kind: Kind, obj: Obj, **_: Any) -> Obj:
            written.append(obj)
            return obj

    client = cast(Client, Server())
    informers = Informers(client)
    loop = ResourceClaimController(Context(client, EventRecorder(client, "t"), informers, Settings(Path("unused"))))
    newest, before, after = pod("a"), pod("a"), pod("a")
    before["metadata"]["uid"], after["metadata"]["uid"] = "before", "after"
    informers.of(POD)._replace("default/a", before)
    asyncio.run(loop._look_at_claim(claim("a")))
    assert not written
    newest = after
    asyncio.run(loop._look_at_claim(claim("a")))
    assert "reservedFor" not in written[0]["status"]


def test_users_of_other_kinds_are_left_alone() -> None:
    there = claim("a")
    there["status"]["reservedFor"].append({"apiGroup": "x.io", "resource": "pods", "name": "b", "uid": "uid-b"})
    assert [who["name"] for who in plan.pods_of(there)] == ["a"]


@pytest.mark.parametrize(
    ("there", "done"),
    [
        (pod("p"), False),
        (pod("p", phase="Succeeded"), True),
        (pod("p", phase="Failed"), True),
        (pod("p", deletionTimestamp=GONE), True),
        (pod("p", deletionTimestamp=GONE, nodeName="n"), False),
    ],
)
def test_when_a_pod_will_never_run_again(there: Obj, done: bool) -> None:
    assert plan.is_done(there) is done


def resource_slice(generation: int, device: str, *taints: Obj) -> Obj:
    pool = {"name": "pool", "generation": generation}
    return {"spec": {"driver": "d", "pool": pool, "devices": [{"name": device, "taints": list(taints)}]}}


TAINT = {"key": "broken", "value": "yes", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}


def test_the_newest_generation_of_a_pool_says_what_is_tainted() -> None:
    mild = {**TAINT, "effect": "NoSchedule"}
    slices = [resource_slice(1, "old", TAINT), resource_slice(2, "new", TAINT, mild), resource_slice(2, "fine", mild)]
    assert evicting(slices) == {"new": [TAINT]}
    assert evicting([]) == {}


TOLERATIONS: list[tuple[list[Obj], int | None]] = [
    ([], 0),
    ([{"key": "broken", "operator": "Exists", "effect": "NoExecute"}], None),
    ([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}], 30),
    ([{"key": "broken", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 30}], 30),
    ([{"key": "broken", "value": "no", "effect": "NoExecute"}], 0),
    ([{"key": "other", "operator": "Exists", "effect": "NoExecute"}], 0),
    # Upstream's: one that names no effect is not looked at.
    ([{"key": "broken", "operator": "Exists"}], 0),
    (
        [
            {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
            {"key": "broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": -5},
        ],
        0,
    ),
]


@pytest.mark.parametrize(("tolerations", "seconds"), TOLERATIONS)
def test_a_pod_goes_when_a_device_of_its_is_tainted(tolerations: list[Obj], seconds: int | None) -> None:
    held = claim("p")
    device = {"driver": "d", "pool": "pool", "device": "new", "tolerations": tolerations}
    held["status"]["allocation"] = {"devices": {"results": [device]}}
    taints = {("d", "pool"): {"new": [TAINT]}}
    due = evict_at([held], taints, T0)
    assert due == (None if seconds is None else T0 + timedelta(seconds=seconds))
    assert evict_at([held], {}, T0) is None
