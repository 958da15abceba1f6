"""Node ranges, health, taints, eviction and what is done with pods of nodes that are gone."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer
from apimachinery.kinds import NODE, POD, SERVICE_ACCOUNT, Kind
from apimachinery.objects import Obj
from controlplane.controllers import node_ttl, pod_gc, pod_status
from controlplane.controllers.context import Context, Informers
from controlplane.controllers.node_ipam import Exhausted, Ranges, build_ranges
from controlplane.controllers.nodelifecycle import health, taints, zones
from controlplane.controllers.nodelifecycle.controller import NodeLifecycleController
from controlplane.controllers.nodelifecycle.eviction import evict_at
from controlplane.controllers.settings import Settings
from tests.controlplane.apiserver.server import run
from tests.controlplane.controllers.build import T0, node, pod, ready


@settings(max_examples=100)
@given(st.lists(st.one_of(st.just("take"), st.integers(0, 20)), max_size=60))
def test_ranges_are_never_given_twice(steps: list[Any]) -> None:
    ranges = Ranges(ipaddress.ip_network("10.0.0.0/20"), 24)
    held: list[str] = []
    for step in steps:
        if step == "take":
            if len(held) == 16:
                with pytest.raises(Exhausted):
                    ranges.take()
                continue
            taken = ranges.take()
            assert not any(ipaddress.ip_network(taken).overlaps(ipaddress.ip_network(h)) for h in held)
            held.append(taken)
        elif step < len(held):
            ranges.free(held.pop(step))


def test_ranges_in_use_are_adopted_whatever_their_size() -> None:
    ranges = Ranges(ipaddress.ip_network("10.0.0.0/16"), 24)
    ranges.occupy("10.0.0.0/23")
    ranges.occupy("10.0.2.128/25")
    ranges.occupy("192.168.0.0/24")
    assert ranges.take() == "10.0.3.0/24"


def test_both_families() -> None:
    assert [r.take() for r in build_ranges("10.1.0.0/16,fd00::/48", 24, 64)] == ["10.1.0.0/24", "fd00::/64"]
    with pytest.raises(ValueError, match="node_cidr_mask 8 does not fit"):
        build_ranges("10.0.0.0/16", 8, 64)


def test_silence_is_measured_by_change_not_by_clocks() -> None:
    lease = {"spec": {"renewTime": "1999-01-01T00:00:00.000000Z"}}
    first = health.hear(None, node(), lease, 100.0)
    assert health.hear(first, node(), lease, 130.0).at == 100.0
    lease = {"spec": {"renewTime": "1999-01-01T00:00:10.000000Z"}}
    assert health.hear(first, node(), lease, 130.0).at == 130.0
    assert health.forgive(first, 20.0).at == 120.0


def test_silent_node_is_unknown_once() -> None:
    got = health.silenced(node(), T0)
    assert got is not None
    assert {c["type"]: (c["status"], c["reason"]) for c in got} == {
        "Ready": ("Unknown", "NodeStatusUnknown"),
        "MemoryPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "DiskPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "PIDPressure": ("Unknown", "NodeStatusNeverUpdated"),
    }
    assert health.silenced(node(conditions=tuple(got)), T0) is None


def keys(listed: list[Obj] | None) -> set[tuple[str, str]] | None:
    return None if listed is None else {(t["key"].rpartition("/")[2], t["effect"]) for t in listed}


def test_taints_follow_conditions() -> None:
    assert taints.tainted(node(), True, T0) is None
    assert taints.tainted(node(conditions=()), True, T0) is None
    unknown = (ready("Unknown"),)
    both = {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
    assert keys(taints.tainted(node(conditions=unknown), True, T0)) == both
    assert keys(taints.tainted(node(conditions=unknown), False, T0)) == {("unreachable", "NoSchedule")}
    cordoned = taints.tainted(node(unschedulable=True, taints=[{"key": "mine", "effect": "NoSchedule"}]), True, T0)
    assert keys(cordoned) == {("mine", "NoSchedule"), ("unschedulable", "NoSchedule")}


def test_a_node_that_comes_back_loses_its_taints_and_one_that_worsens_swaps_them() -> None:
    tainted = taints.tainted(node(conditions=(ready("False"),)), True, T0)
    assert keys(taints.tainted(node(taints=tainted), True, T0)) == set()
    swapped = taints.tainted(node(conditions=(ready("Unknown"),), taints=tainted), False, T0)
    assert keys(swapped) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}


@pytest.mark.parametrize(
    ("total", "unready", "rate"),
    [(3, 1, 0.1), (3, 2, 0.1), (5, 3, 0.0), (10, 5, 0.1), (100, 60, 0.01), (3, 3, 0.0)],
)
def test_eviction_slows_down_when_many_are_silent(total: int, unready: int, rate: float) -> None:
    nodes = [node(f"n{i}", (ready("Unknown" if i < unready else "True"),)) for i in range(total)]
    (zone,) = zones.rates(nodes, Settings(kubeconfig=None)).values()  # type: ignore[arg-type]
    assert zone.rate == rate


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0),
        ([{"key": "k", "operator": "Exists", "effect": "NoExecute"}], None),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 30}], 30),
        (
            [
                {"operator": "Exists", "tolerationSeconds": 60},
                {"key": "k", "operator": "Exists", "tolerationSeconds": 5},
            ],
            60,
        ),
        (
            [
                {"key": "k", "operator": "Exists", "tolerationSeconds": -5},
                {"operator": "Exists", "tolerationSeconds": 60},
            ],
            0,
        ),
        ([{"key": "other", "operator": "Exists"}], 0),
        ([{"key": "k", "value": "w", "effect": "NoExecute"}], 0),
    ],
)
def test_eviction_honours_tolerations(tolerations: list[Obj], seconds: int | None) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
    others = [{"key": "x", "effect": "NoSchedule"}]
    got = evict_at(pod("p", tolerations=tolerations), [taint, *others], T0)
    assert got == (None if seconds is None else T0 + timedelta(seconds=seconds))


def test_eviction_counts_from_when_each_taint_was_added_or_from_when_it_was_seen() -> None:
    tolerations = [{"key": key, "operator": "Exists", "tolerationSeconds": 60} for key in ("early", "late")]
    early = {"key": "early", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
    late = {"key": "late", "effect": "NoExecute"}
    seen = T0 + timedelta(seconds=30)
    both = pod("p", tolerations=tolerations)
    assert evict_at(both, [late], seen) == seen + timedelta(seconds=60)
    assert evict_at(both, [late, early], seen) == T0 + timedelta(seconds=60)
    assert evict_at(both, [late, {"key": "other", "effect": "NoExecute"}], seen) == seen


def test_pod_garbage() -> None:
    going: Obj = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    pods = [
        pod("homeless", nodeName="gone"),
        pod("maybe", nodeName="lately"),
        pod("here", nodeName="n"),
        pod("unbound", **going),
        pod("waiting"),
        pod("old", phase="Failed", nodeName="n", creationTimestamp="2026-01-01T00:00:00Z"),
        pod("new", phase="Failed", nodeName="n", creationTimestamp="2026-01-02T00:00:00Z"),
    ]
    got = pod_gc.plan(pods, {"n": node()}, frozenset(("gone",)), 1)
    assert {r.pod["metadata"]["name"]: r.why for r in got} == {
        "homeless": "orphaned",
        "unbound": "unscheduled",
        "old": "terminated",
    }


def test_a_lease_shortens_the_silence_that_is_allowed_and_never_lengthens_it() -> None:
    def lease(seconds: object) -> dict[str, object]:
        return {"spec": {"leaseDurationSeconds": seconds}}

    assert health.patience(lease(12), 50.0) == 12.0
    assert health.patience(lease(40), 50.0) == 40.0, "upstream's kubelet: four of its renewals"
    assert health.patience(lease(120), 50.0) == 50.0
    for nothing in (None, {}, lease(None), lease(0), lease(-1), lease("12")):
        assert health.patience(nothing, 50.0) == 50.0


def test_nodes_use_what_they_read_for_longer_in_large_clusters() -> None:
    def seconds(counts: list[int]) -> list[int]:
        step, found = 0, []
        for count in counts:
            step = node_ttl.step_for(count, step)
            found.append(node_ttl.STEPS[step].seconds)
        return found

    assert seconds([0, 100, 101, 90, 89, 501, 1001, 2001]) == [0, 0, 15, 15, 0, 30, 60, 300]
    # Up and down there is room between: one node more or less changes nothing for all the others.
    assert seconds([101, 100, 101, 500, 501, 500, 450, 449]) == [15, 15, 15, 15, 30, 30, 30, 15]
    assert seconds([5000, 1799, 3]) == [300, 60, 0]


class _Counting(Informer):
    """Counts how often all of its objects are asked for."""

    walks = 0

    def items(self) -> list[Obj]:
        self.walks += 1
        return super().items()


def test_a_node_that_comes_costs_nothing_for_those_there_are() -> None:
    nobody = cast(Client, None)
    nodes, informers = _Counting(nobody, NODE), Informers(nobody)
    informers._by_kind[NODE] = nodes
    loop = node_ttl.NodeTTLController(Context(nobody, cast(EventRecorder, None), informers, cast(Settings, None)))
    for number in range(120):
        nodes._replace(f"n{number}", node(f"n{number}"))
    # Only where all nodes get another time, which is after a hundred.
    assert nodes.walks == 1
    assert loop._step == 1


def test_what_was_said_since_is_not_written_over(tmp_path: Path) -> None:
    """A node that speaks, and a pod whose agent tells more of it, between the look and the write."""

    async def scenario(client: Client) -> None:
        informers = Informers(client)
        recorder = EventRecorder(client, "test")
        loop = NodeLifecycleController(Context(client, recorder, informers, Settings(Path("unused"))))
        seen = await client.create(NODE, node("n"))
        seen = await _told(client, NODE, "n", None, [ready("True")])
        running = pod("p", "10.244.0.1", nodeName="n", serviceAccountName="default", automountServiceAccountToken=False)
        await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
        await client.create(POD, running)
        seen_pod = await _told(client, POD, "p", "default", [ready("True")])
        informers.of(POD)._replace("default/p", seen_pod)

        later = "2026-01-01T00:00:10Z"
        await _told(client, NODE, "n", None, [{**ready("True"), "lastHeartbeatTime": later}])
        told = await _told(client, POD, "p", "default", [{"type": "Initialized", "status": "True"}])
        for clock in (0.0, 1000.0):
            await loop._look(seen, clock, 0.0)
        with pytest.raises(errors.Conflict):
            await loop._mark_pods(seen)
        now = await client.get(NODE, "n")
        assert taints.ready_status(now) == "True"
        assert (await client.get(POD, "p", "default"))["status"] == told["status"]

        # Nothing more is said: what is seen is what there is.
        informers.of(POD)._replace("default/p", told)
        for clock in (1000.0, 2000.0):
            await loop._look(now, clock, 0.0)
        await loop._mark_pods(now)
        assert taints.ready_status(await client.get(NODE, "n")) == "Unknown"
        assert not pod_status.is_ready(await client.get(POD, "p", "default"))

    run(tmp_path, scenario)


async def _told(client: Client, kind: Kind, which: str, space: str | None, conditions: list[Obj]) -> Obj:
    status = {"status": {"conditions": conditions}}
    return await client.patch(kind, which, status, space, subresource="status", patch_type=PatchType.STRATEGIC)
