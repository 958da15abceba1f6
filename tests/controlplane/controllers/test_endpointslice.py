"""The slice planner: every ready pod in exactly one slice, whatever was there before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.informer import Informer
from apimachinery.kinds import ENDPOINT_SLICE
from apimachinery.objects import Obj, copy
from controlplane.controllers import names
from controlplane.controllers.endpointslice.plan import FULL, Plan, plan
from controlplane.controllers.endpointslice.topology import Zones, zones_of
from controlplane.controllers.endpointslice.writer import SliceWriter
from tests.controlplane.controllers.build import node, pod, ready, service

GOING = "2026-01-01T00:00:00Z"
NOWHERE = Zones()


def apply(slices: list[Obj], todo: Any, salt: int = 0) -> list[Obj]:
    left = [s for s in slices if s not in todo.delete]
    changed = {u["metadata"]["name"]: copy(u) for u in todo.update}
    assert changed.keys() <= {s["metadata"]["name"] for s in left}
    left = [changed.get(s["metadata"]["name"], s) for s in left]
    for number, fresh in enumerate(todo.create):
        stored = copy(fresh)
        stored["metadata"]["name"] = f"{fresh['metadata']['generateName']}{salt}-{number}"
        left.append(stored)
    return left


def addresses(slices: list[Obj]) -> list[str]:
    return [e["addresses"][0] for s in slices for e in s["endpoints"]]


PODS = st.dictionaries(
    st.integers(0, 130),
    st.tuples(st.booleans(), st.booleans(), st.sampled_from((8080, 9090, None))),
    max_size=131,
)


@settings(max_examples=40)
@given(st.lists(PODS, min_size=1, max_size=4))
def test_every_pod_in_exactly_one_slice(history: list[dict[int, tuple[bool, bool, int | None]]]) -> None:
    svc = service(ports=[{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}])
    slices: list[Obj] = []
    for step, wanted in enumerate(history):
        pods = []
        for number, (is_ready, going, port) in wanted.items():
            ports = [{"name": "web", "containerPort": port}] if port else []
            more = {"deletionTimestamp": GOING} if going else {}
            containers = [{"name": "c", "ports": ports}]
            pods.append(pod(f"p{number}", f"10.0.0.{number}", is_ready, containers=containers, **more))
        slices = apply(slices, plan(svc, pods, slices, NOWHERE, None), step)
        found = addresses(slices)
        assert sorted(found) == sorted(f"10.0.0.{n}" for n in wanted)
        assert all(len(s["endpoints"]) <= FULL for s in slices)
        for piece in slices:
            for entry in piece["endpoints"]:
                is_ready, going, port = wanted[int(entry["addresses"][0].rsplit(".", 1)[1])]
                assert entry["conditions"] == {
                    "ready": is_ready and not going,
                    "serving": is_ready,
                    "terminating": going,
                }
                assert [p["port"] for p in piece["ports"]] == ([port] if port else [])
        again = plan(svc, pods, slices, NOWHERE, None)
        assert (again.create, again.update, again.delete) == ((), (), ())


def test_one_pod_changes_one_slice() -> None:
    svc = service()
    pods = [pod(f"p{i}", f"10.0.1.{i}") for i in range(250)]
    slices = apply([], plan(svc, pods, [], NOWHERE, None))
    assert sorted(len(s["endpoints"]) for s in slices) == [50, 100, 100]
    pods[0] = pod("p0", "10.0.1.0", is_ready=False)
    todo = plan(svc, pods, slices, NOWHERE, "2026-01-01T00:00:05Z")
    assert (len(todo.create), len(todo.update), len(todo.delete)) == (0, 1, 0)
    assert todo.update[0]["metadata"]["annotations"] == {names.LAST_CHANGE: "2026-01-01T00:00:05Z"}


def test_the_slice_carries_upstreams_names() -> None:
    svc = service(clusterIP="None")
    svc["metadata"]["labels"] = {"team": "x"}
    backend = pod("p", "10.0.0.1", nodeName="n1", hostname="p", subdomain="web")
    (made,) = plan(svc, [backend], [], Zones({"n1": "z1"}), GOING).create
    assert made["metadata"]["generateName"] == "web-"
    assert made["metadata"]["labels"] == {
        "team": "x",
        "service.kubernetes.io/headless": "",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert made["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert made["endpoints"] == [
        {
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "hostname": "p",
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "uid-p"},
            "nodeName": "n1",
            "zone": "z1",
        }
    ]


@pytest.mark.parametrize("gone", [pod("p"), pod("p", "10.0.0.1", phase="Succeeded"), pod("p", "fd00::1")])
def test_without_endpoints_one_empty_slice_stands(gone: Obj) -> None:
    slices = apply([], plan(service(), [gone], [], NOWHERE, None))
    assert [s["endpoints"] for s in slices] == [[]]
    todo = plan(service(), [gone], slices, NOWHERE, None)
    assert (todo.create, todo.update, todo.delete) == ((), (), ())


def test_unready_pods_are_published_where_asked_for() -> None:
    svc = service(publishNotReadyAddresses=True)
    (made,) = plan(svc, [pod("p", "10.0.0.1", is_ready=False)], [], NOWHERE, None).create
    assert made["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}


def test_a_family_for_each_address() -> None:
    svc = service(ipFamilies=["IPv4", "IPv6"])
    both = pod("p", "10.0.0.1")
    both["status"]["podIPs"].append({"ip": "fd00::1"})
    made = plan(svc, [both], [], NOWHERE, None).create
    assert {s["addressType"]: addresses([s]) for s in made} == {"IPv4": ["10.0.0.1"], "IPv6": ["fd00::1"]}
    only = plan(service(), [both], list(apply([], plan(svc, [both], [], NOWHERE, None))), NOWHERE, None)
    assert [s["addressType"] for s in only.delete] == ["IPv6"]


def at_nodes(counts: dict[str, int]) -> list[Obj]:
    """So many pods on the node of each zone."""
    numbered = [zone for zone, count in counts.items() for _ in range(count)]
    return [pod(f"p{n}", f"10.0.0.{n}", nodeName=f"n-{zone}") for n, zone in enumerate(numbered)]


def nodes(**cpu: str) -> list[Obj]:
    found = []
    for zone, amount in cpu.items():
        made = node(f"n-{zone}")
        made["metadata"]["labels"] = {names.ZONE: zone}
        made["status"]["allocatable"] = {"cpu": amount}
        found.append(made)
    return found


def hints(slices: list[Obj]) -> list[Any]:
    return [e.get("hints") for s in slices for e in s["endpoints"]]


CLOSE = [
    ("PreferClose", {"forZones": [{"name": "a"}]}),
    ("PreferSameZone", {"forZones": [{"name": "a"}]}),
    ("PreferSameNode", {"forZones": [{"name": "a"}], "forNodes": [{"name": "n-a"}]}),
    (None, None),
]


@pytest.mark.parametrize(("wish", "hint"), CLOSE)
def test_traffic_distribution_gives_each_ready_endpoint_its_own_place(wish: str | None, hint: Obj | None) -> None:
    spec = {"trafficDistribution": wish} if wish else {}
    zones = zones_of(nodes(a="2"))
    pods = [*at_nodes({"a": 1}), pod("waits", "10.0.1.1", is_ready=False, nodeName="n-a")]
    slices = apply([], plan(service(**spec), pods, [], zones, None))
    assert hints(slices) == [hint, None]
    # Taken away with the wish, and left alone without a change.
    assert plan(service(**spec), pods, slices, zones, None).update == ()
    assert len(plan(service(), pods, slices, zones, None).update) == (1 if hint else 0)


def automatic() -> Obj:
    svc = service(trafficDistribution="PreferSameNode")
    svc["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": "Auto"}
    return svc


SPREAD = [
    # endpoints by zone, CPU by zone, endpoints meant for each zone
    ({"a": 2, "b": 2}, {"a": "2", "b": "2"}, {"a": 2, "b": 2}),
    ({"a": 4}, {"a": "2", "b": "2"}, {"a": 2, "b": 2}),
    ({"a": 5, "b": 1}, {"a": "1", "b": "1"}, {"a": 3, "b": 3}),
    ({"a": 3, "b": 3}, {"a": "1", "b": "2"}, {"a": 2, "b": 4}),
    # Within a fifth of its share nobody is moved.
    ({"a": 5, "b": 6}, {"a": "1", "b": "1"}, {"a": 5, "b": 6}),
]


@pytest.mark.parametrize(("where", "cpu", "meant"), SPREAD)
def test_the_annotation_gives_each_zone_its_share(
    where: dict[str, int], cpu: dict[str, str], meant: dict[str, int]
) -> None:
    todo = plan(automatic(), at_nodes(where), [], zones_of(nodes(**cpu)), None)
    slices = apply([], todo)
    found = [hint["forZones"][0]["name"] for hint in hints(slices)]
    assert {zone: found.count(zone) for zone in cpu} == meant
    assert [(n.kind, n.reason) for n in todo.notes] == [("Normal", "TopologyAwareHintsEnabled")]
    again = plan(automatic(), at_nodes(where), slices, zones_of(nodes(**cpu)), None, todo.hinted)
    assert (again.create, again.update, again.notes) == ((), (), ())
    without = plan(service(), at_nodes(where), slices, zones_of(nodes(**cpu)), None, todo.hinted)
    assert [n.message for n in without.notes] == ["Topology Aware Hints has been disabled, addressType: IPv4"]


def test_an_endpoint_keeps_the_zone_it_was_given() -> None:
    zones = zones_of(nodes(a="1", b="1"))
    first = plan(automatic(), at_nodes({"a": 6}), [], zones, None)
    slices = apply([], first)
    before = {e["addresses"][0]: e["hints"] for e in slices[0]["endpoints"]}
    slices = apply(slices, plan(automatic(), at_nodes({"a": 7}), slices, zones, None, first.hinted))
    after = {e["addresses"][0]: e["hints"] for e in slices[0]["endpoints"]}
    assert after == {**before, "10.0.0.6": {"forZones": [{"name": "a"}]}}


NO_ZONE = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
UNHINTED = [
    ({"a": 1}, nodes(a="1", b="1"), "Insufficient number of endpoints (1 endpoints, 2 zones)"),
    ({"a": 2}, nodes(a="1"), NO_ZONE),
    ({"a": 2}, [*nodes(a="1", b="1"), node("n-c")], NO_ZONE),
    ({"a": 2}, nodes(a="1", b="0"), NO_ZONE),
    ({"c": 2}, nodes(a="1", b="1"), "One or more endpoints do not have a zone specified"),
    (
        {"a": 3},
        nodes(a="9", b="1", c="1"),
        "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
        " (3 endpoints, 3 zones)",
    ),
]


@pytest.mark.parametrize(("where", "known", "text"), UNHINTED)
def test_why_the_annotation_gives_no_hints(where: dict[str, int], known: list[Obj], text: str) -> None:
    todo = plan(automatic(), at_nodes(where), [], zones_of(known), None)
    assert [n.message for n in todo.notes] == [f"{text}, addressType: IPv4"]
    assert not any(hints(list(todo.create)))


def test_nodes_that_take_no_pods_count_for_no_zone() -> None:
    manager, silent = nodes(c="8", d="8")
    manager["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = ""
    silent["status"]["conditions"] = [ready("Unknown")]
    assert zones_of([*nodes(a="1", b="3"), manager, silent]).shares == {"a": 0.25, "b": 0.75}


def test_every_failed_write_is_told_of_but_for_lost_races() -> None:
    class Refusing:
        async def update(self, kind: Any, piece: Obj) -> Obj:
            raise errors.Conflict("behind")

        async def delete(self, kind: Any, *where: str, uid: str) -> None:
            raise errors.Forbidden("no")

    client, told = Refusing(), []
    recorder = SimpleNamespace(event=lambda _obj, *event: told.append(event))
    informers = SimpleNamespace(of=lambda kind: Informer(client, kind))  # type: ignore[arg-type]
    context: Any = SimpleNamespace(client=client, recorder=recorder, informers=informers)
    piece: Obj = {"metadata": {"name": "web-1", "namespace": "default", "uid": "1"}, "kind": ENDPOINT_SLICE.kind}

    async def write() -> None:
        writer = SliceWriter(context, names.SLICE_MANAGER, "Failed to update Endpoint Slices for Service", print)
        await writer.apply("default/web", Plan(update=(piece,), delete=(piece,)), service())

    with pytest.raises(errors.Conflict):
        asyncio.run(write())
    text = "Failed to update Endpoint Slices for Service default/web: no"
    assert told == [("Warning", "FailedToUpdateEndpointSlices", text)]
