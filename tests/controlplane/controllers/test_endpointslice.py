"""The slice planner: every ready pod in exactly one slice, whatever was there before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj, copy
from controlplane.controllers import names
from controlplane.controllers.endpointslice.plan import FULL, plan
from tests.controlplane.controllers.build import pod, service

GOING = "2026-01-01T00:00:00Z"


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
        slices = apply(slices, plan(svc, pods, slices, {}, None), step)
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
        again = plan(svc, pods, slices, {}, None)
        assert (again.create, again.update, again.delete) == ((), (), ())


def test_one_pod_changes_one_slice() -> None:
    svc = service()
    pods = [pod(f"p{i}", f"10.0.1.{i}") for i in range(250)]
    slices = apply([], plan(svc, pods, [], {}, None))
    assert sorted(len(s["endpoints"]) for s in slices) == [50, 100, 100]
    pods[0] = pod("p0", "10.0.1.0", is_ready=False)
    todo = plan(svc, pods, slices, {}, "2026-01-01T00:00:05Z")
    assert (len(todo.create), len(todo.update), len(todo.delete)) == (0, 1, 0)
    assert todo.update[0]["metadata"]["annotations"] == {names.LAST_CHANGE: "2026-01-01T00:00:05Z"}


def test_the_slice_carries_upstreams_names() -> None:
    svc = service(clusterIP="None")
    svc["metadata"]["labels"] = {"team": "x"}
    backend = pod("p", "10.0.0.1", nodeName="n1", hostname="p", subdomain="web")
    (made,) = plan(svc, [backend], [], {"n1": "z1"}, GOING).create
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
    slices = apply([], plan(service(), [gone], [], {}, None))
    assert [s["endpoints"] for s in slices] == [[]]
    todo = plan(service(), [gone], slices, {}, None)
    assert (todo.create, todo.update, todo.delete) == ((), (), ())


def test_unready_pods_are_published_where_asked_for() -> None:
    svc = service(publishNotReadyAddresses=True)
    (made,) = plan(svc, [pod("p", "10.0.0.1", is_ready=False)], [], {}, None).create
    assert made["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}


def test_a_family_for_each_address() -> None:
    svc = service(ipFamilies=["IPv4", "IPv6"])
    both = pod("p", "10.0.0.1")
    both["status"]["podIPs"].append({"ip": "fd00::1"})
    made = plan(svc, [both], [], {}, None).create
    assert {s["addressType"]: addresses([s]) for s in made} == {"IPv4": ["10.0.0.1"], "IPv6": ["fd00::1"]}
    only = plan(service(), [both], list(apply([], plan(svc, [both], [], {}, None))), {}, None)
    assert [s["addressType"] for s in only.delete] == ["IPv6"]
