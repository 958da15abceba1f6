"""Endpoints of Services with a selector, and those of others mirrored into slices."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj
from controlplane.controllers.endpoints.plan import plan
from controlplane.controllers.endpoints.subsets import FULL, repacked
from controlplane.controllers.endpointslice.plan import plan as slices_of
from controlplane.controllers.endpointslice.topology import Zones
from controlplane.controllers.endpointslicemirroring.plan import is_mirrored
from controlplane.controllers.endpointslicemirroring.plan import plan as mirror
from tests.controlplane.controllers.build import pod, service
from tests.controlplane.controllers.test_endpointslice import apply

NOW = "2026-01-01T00:00:00Z"
HTTP = {"name": "http", "port": 8080, "protocol": "TCP"}
MANAGED = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}


def made(svc: Obj, *pods: Obj) -> Obj:
    found = plan(svc, pods, None, None)
    assert found is not None
    return found


def ips(addresses: list[Obj]) -> list[str]:
    return [address["ip"] for address in addresses]


def test_ready_pods_and_those_that_are_not() -> None:
    svc = service()
    svc["metadata"]["labels"] = {"team": "x", "service.kubernetes.io/headless": ""}
    up, down = pod("a", "10.0.0.1", nodeName="n1"), pod("b", "10.0.0.2", is_ready=False)
    gone = [
        pod("c", "10.0.0.3", phase="Failed"),
        pod("d", "10.0.0.4", deletionTimestamp=NOW),
        pod("e"),
        pod("f", "fd00::1"),
    ]
    found = plan(svc, [up, down, *gone], None, NOW)
    assert found is not None
    assert found["metadata"]["labels"] == {"team": "x", **MANAGED}
    assert found["metadata"]["annotations"] == {"endpoints.kubernetes.io/last-change-trigger-time": NOW}
    target = {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"}
    (subset,) = found["subsets"]
    assert subset["addresses"] == [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": target}]
    assert ips(subset["notReadyAddresses"]) == ["10.0.0.2"]
    assert subset["ports"] == [HTTP]
    assert plan(svc, [down, up, *gone], found, None) is None
    assert plan(svc, [up], found, None) is not None


def test_a_headless_service_without_ports_names_its_pods() -> None:
    svc = service(clusterIP="None", ports=[], publishNotReadyAddresses=True)
    found = made(svc, pod("a", "10.0.0.1", is_ready=False, hostname="a", subdomain="web", deletionTimestamp=NOW))
    assert found["metadata"]["labels"] == {"service.kubernetes.io/headless": "", **MANAGED}
    assert [(a["ip"], a["hostname"]) for a in found["subsets"][0]["addresses"]] == [("10.0.0.1", "a")]
    assert "ports" not in found["subsets"][0]
    assert made(service(ports=[]), pod("a", "10.0.0.1"))["subsets"] == []


def test_pods_with_other_ports_stand_in_subsets_of_their_own() -> None:
    svc = service(
        ports=[{"name": "http", "port": 80, "targetPort": "web"}, {"name": "m", "port": 9, "protocol": "UDP"}]
    )
    pods = []
    for number, port in enumerate((8080, 9090, None)):
        ports = [{"name": "web", "containerPort": port}] if port else []
        pods.append(pod(f"p{number}", f"10.0.0.{number}", containers=[{"name": "c", "ports": ports}]))
    found = {p["port"]: ips(s["addresses"]) for s in made(svc, *pods)["subsets"] for p in s["ports"]}
    assert found == {8080: ["10.0.0.0"], 9090: ["10.0.0.1"], 9: ["10.0.0.0", "10.0.0.1", "10.0.0.2"]}


@pytest.mark.parametrize(
    ("ready", "waiting", "kept"), [(1001, 50, (1000, 0)), (900, 300, (900, 100)), (1000, 0, (1000, 0))]
)
def test_no_more_than_a_thousand(ready: int, waiting: int, kept: tuple[int, int]) -> None:
    pods = [pod(f"p{n}", f"10.0.{n // 250}.{n % 250}", is_ready=n < ready) for n in range(ready + waiting)]
    found = made(service(), *pods)
    (subset,) = found["subsets"]
    assert (len(subset["addresses"]), len(subset.get("notReadyAddresses") or ())) == kept
    over = {"endpoints.kubernetes.io/over-capacity": "truncated"} if ready + waiting > FULL else {}
    assert found["metadata"]["annotations"] == over
    assert plan(service(), pods, found, None) is None


def subset(ready: list[str], waiting: list[str], *ports: int) -> Obj:
    found: Obj = {"addresses": [{"ip": ip} for ip in ready], "notReadyAddresses": [{"ip": ip} for ip in waiting]}
    return {**found, "ports": [{"port": port, "protocol": "TCP"} for port in ports]}


def test_one_form_for_all_that_say_the_same() -> None:
    apart = [subset(["10.0.0.1"], [], 80), subset(["10.0.0.1"], [], 81), subset(["10.0.0.2"], ["10.0.0.1"], 80)]
    assert repacked(apart) == repacked(reversed(apart)) == repacked(repacked(apart))
    found = {tuple(p["port"] for p in s["ports"]): ips(s.get("notReadyAddresses") or []) for s in repacked(apart)}
    assert found == {(80,): ["10.0.0.1"], (81,): []}


PODS = st.dictionaries(st.integers(0, 20), st.tuples(st.booleans(), st.sampled_from((8080, 9090, None))), max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.lists(PODS, min_size=1, max_size=4))
def test_endpoints_and_slices_say_the_same(history: list[dict[int, tuple[bool, int | None]]]) -> None:
    ports = [{"name": "h", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    svc, current = service(ports=ports), None
    slices: list[Obj] = []
    mirrored: list[Obj] = []
    for step, wanted in enumerate(history):
        pods = []
        for number, (is_ready, port) in wanted.items():
            containers = [{"name": "c", "ports": [{"name": "web", "containerPort": port}] if port else []}]
            pods.append(pod(f"p{number}", f"10.0.0.{number}", is_ready, containers=containers))
        current = plan(svc, pods, current, None) or current
        assert current is not None
        slices = apply(slices, slices_of(svc, pods, slices, Zones(), None), step)
        mirrored = apply(mirrored, mirror(current, mirrored), step)
        assert reached(mirrored) == reached(slices)
        assert mirror(current, mirrored) == mirror(current, mirrored).__class__()


def reached(slices: list[Obj]) -> list[Any]:
    places = [
        (e["addresses"], e["conditions"]["ready"], p["port"])
        for s in slices
        for e in s["endpoints"]
        for p in s["ports"]
    ]
    return sorted(places)


def endpoints(*subsets: Obj, **metadata: Any) -> Obj:
    meta = {"name": "db", "namespace": "default", "uid": "e", **metadata}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": list(subsets)}


def test_a_mirrored_slice_carries_upstreams_names() -> None:
    own = endpoints(
        {
            "addresses": [{"ip": "10.9.0.1", "hostname": "one", "nodeName": "n"}, {"ip": "fd00::1"}],
            "ports": [{"port": 5432}],
        },
        labels={"team": "x"},
        annotations={
            "a": "b",
            "endpoints.kubernetes.io/last-change-trigger-time": NOW,
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    )
    todo = mirror(own, [])
    four, six = sorted(todo.create, key=lambda s: s["addressType"])
    assert four["metadata"]["generateName"] == "db-"
    assert four["metadata"]["labels"] == {
        "team": "x",
        "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert four["metadata"]["annotations"] == {"a": "b"}
    assert four["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
    entry = {"addresses": ["10.9.0.1"], "conditions": {"ready": True}, "hostname": "one", "nodeName": "n"}
    assert four["endpoints"] == [entry]
    assert four["ports"] == [{"name": "", "port": 5432, "protocol": "TCP"}]
    assert (six["addressType"], six["endpoints"][0]["addresses"]) == ("IPv6", ["fd00::1"])


def test_a_changed_port_changes_the_slice_that_is_there() -> None:
    slices = apply([], mirror(endpoints(subset(["10.9.0.1"], [], 80)), []))
    todo = mirror(endpoints(subset(["10.9.0.1"], [], 81)), slices)
    assert (todo.create, todo.delete) == ((), ())
    assert [s["ports"][0]["port"] for s in todo.update] == [81]
    assert mirror(endpoints(), slices).delete == tuple(slices)
    going = [{**s, "metadata": {**s["metadata"], "deletionTimestamp": NOW}} for s in slices]
    todo = mirror(endpoints(subset(["10.9.0.1"], [], 80)), going)
    assert (len(todo.create), todo.update, todo.delete) == (1, (), ()), (
        "what is going is neither used nor deleted again"
    )


def test_what_is_not_mirrored_is_told() -> None:
    many = subset([f"10.1.{n // 250}.{n % 250}" for n in range(FULL + 5)], ["nowhere"], 80)
    todo = mirror(endpoints(many, subset(["here"], [], 81)), [])
    assert sum(len(s["endpoints"]) for s in todo.create) == FULL
    assert [n.reason for n in todo.notes] == ["InvalidIPAddress", "TooManyAddressesToMirror"]
    assert todo.notes[0].message == "Skipped 1 invalid IP addresses when mirroring to EndpointSlices"


MIRRORED = [
    (endpoints(), service(selector=None), True),
    (endpoints(), service(selector={}), True),
    (endpoints(), service(), False),
    (endpoints(), None, False),
    (None, service(selector=None), False),
    (endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}), service(selector=None), False),
    (endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "false"}), service(selector=None), True),
    (endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}), service(selector=None), False),
]


@pytest.mark.parametrize(("own", "svc", "mirrored"), MIRRORED)
def test_what_is_mirrored(own: Obj | None, svc: Obj | None, mirrored: bool) -> None:
    assert is_mirrored(own, svc) is mirrored
