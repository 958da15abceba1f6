"""One decision at a time: who may go where, who is preferred, and what is said when nobody fits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from apimachinery.pods.requests import pod_requests
from apimachinery.selectors import from_label_selector
from controlplane.scheduler.cycle import wanted
from controlplane.scheduler.explain import explain
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.surroundings import Workloads
from tests.controlplane.scheduler.build import cluster, node, pod, preempt, run

IN_ZONE_A = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
        }
    }
}
TAINTED: dict[str, Any] = {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}


def spread(hard: bool = True, skew: int = 1) -> dict[str, Any]:
    return {
        "maxSkew": skew,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }


def anti(soft: bool = False) -> dict[str, Any]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    if soft:
        weighted = [{"weight": 100, "podAffinityTerm": term}]
        return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


@pytest.mark.parametrize(
    ("refusing", "asking", "reason"),
    [
        (node("n", unschedulable=True), pod(), "node(s) were unschedulable"),
        (node("n"), pod(nodeSelector={"disk": "ssd"}), "node(s) didn't match Pod's node affinity/selector"),
        (node("n"), pod(affinity=IN_ZONE_A), "node(s) didn't match Pod's node affinity/selector"),
        (node("n", **TAINTED), pod(), "node(s) had untolerated taint(s)"),
        (node("n", cpu="1"), pod(requests={"cpu": "1100m"}), "Insufficient cpu"),
        (node("n", memory="1Gi"), pod(requests={"memory": "2Gi"}), "Insufficient memory"),
        (node("n"), pod(requests={"example.com/gpu": "1"}), "Insufficient example.com/gpu"),
        (node("n", pods="0"), pod(), "Too many pods"),
        (
            node("n"),
            pod(topologySpreadConstraints=[{**spread(), "topologyKey": "rack"}]),
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ),
    ],
)
def test_refusal_in_upstreams_words(refusing: Any, asking: Pod, reason: str) -> None:
    state = cluster(refusing)
    decision = run(state, asking)
    assert decision.node == ""
    found = preempt(state, asking)
    text = explain(decision, 1, found.message)
    assert text.startswith(f"0/1 nodes are available: 1 {reason}. preemption: 0/1 nodes are available: 1 ")


def test_reasons_are_counted_and_sorted() -> None:
    state = cluster(node("a", cpu="1"), node("b", cpu="1"), node("c", **TAINTED))
    decision = run(state, pod(requests={"cpu": "2"}))
    assert explain(decision, 3) == "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu."


def test_no_nodes() -> None:
    assert explain(run(cluster(), pod()), 0) == "no nodes available to schedule pods"


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "k", "operator": "Exists"},
        {"key": "k", "value": "v", "effect": "NoSchedule"},
    ],
)
def test_tolerated_taint(toleration: dict[str, str]) -> None:
    assert run(cluster(node("n", **TAINTED)), pod(tolerations=[toleration])).node == "n"


def test_toleration_of_another_effect_does_not_count() -> None:
    tolerating = pod(tolerations=[{"key": "k", "value": "v", "effect": "NoExecute"}])
    assert run(cluster(node("n", **TAINTED)), tolerating).node == ""


def test_host_port_is_taken_once_per_address() -> None:
    def asking(name: str, **port: Any) -> Pod:
        return pod(name, containers=[{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, **port}]}])

    state = cluster(node("n"))
    state.assume(asking("first", hostIP="10.0.0.1"), "n")
    assert run(state, asking("other", hostIP="10.0.0.2")).node == "n"
    assert run(state, asking("udp", protocol="UDP")).node == "n"
    assert run(state, asking("same", hostIP="10.0.0.1")).node == ""
    assert run(state, asking("wildcard")).node == ""
    state.remove("uid-first")
    assert run(state, asking("wildcard")).node == "n"


def test_least_allocated_node_is_preferred() -> None:
    state = cluster(node("a"), node("b"))
    state.assume(pod("big", {"cpu": "3", "memory": "6Gi"}), "a")
    assert {run(state, pod("x", {"cpu": "100m"}), tie=t).node for t in range(4)} == {"b"}


def test_prefer_no_schedule_is_only_a_preference() -> None:
    state = cluster(node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}]), node("b"))
    assert {run(state, pod(), tie=t).node for t in range(4)} == {"b"}
    assert run(cluster(node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}])), pod()).node == "a"


def test_hard_spread_keeps_the_skew() -> None:
    state = cluster(node("a"), node("b"), node("c"))
    for i in range(9):
        asking = pod(f"p{i}", labels={"app": "web"}, topologySpreadConstraints=[spread()])
        state.assume(asking, run(state, asking, tie=i).node)
        counts = [len(info.pods) for info in state.nodes.values()]
        assert max(counts) - min(counts) <= 1
    state.set_node(node("c", unschedulable=True))
    full = run(state, pod("more", labels={"app": "web"}, topologySpreadConstraints=[spread()]))
    assert full.node in ("a", "b")


class _Web(Workloads):
    def selector_of(self, pod: Pod) -> Any:
        return from_label_selector({"matchLabels": {"app": "web"}})


def test_replicas_spread_by_default_even_over_busy_nodes() -> None:
    state = cluster(node("a"), node("b"), node("c"))
    for i in range(6):
        asking = pod(f"p{i}", labels={"app": "web"})
        state.assume(asking, run(state, asking, _Web(), tie=i * 7).node)
    assert Counter(len(info.pods) for info in state.nodes.values()) == {2: 3}


def test_anti_affinity_works_both_ways() -> None:
    state = cluster(node("a"), node("b"))
    lonely = pod("lonely", labels={"app": "web"}, affinity=anti())
    state.assume(lonely, "a")
    assert run(state, pod("second", labels={"app": "web"}, affinity=anti())).node == "b"
    assert run(state, pod("plain", labels={"app": "web"})).node == "b"
    state.assume(pod("third", labels={"app": "web"}), "b")
    refused = run(state, pod("fourth", labels={"app": "web"}, affinity=anti()))
    assert {r.reason for r in refused.rejections.values()} == {"node(s) didn't match pod anti-affinity rules"}
    refused = run(state, pod("fifth", labels={"app": "web"}), tie=1)
    assert refused.node == "b"


def test_first_of_a_group_may_befriend_itself() -> None:
    near = {"podAffinity": anti()["podAntiAffinity"]}
    state = cluster(node("a"), node("b"))
    assert run(state, pod("stranger", labels={"app": "db"}, affinity=near)).node == ""
    first = pod("first", labels={"app": "web"}, affinity=near)
    state.assume(first, run(state, first, tie=1).node)
    home = next(name for name, info in state.nodes.items() if info.pods)
    assert all(run(state, pod(f"n{t}", labels={"app": "db"}, affinity=near), tie=t).node == home for t in range(3))


def test_init_containers_and_sidecars_count_as_upstream() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("100m"), container("200m")],
        "initContainers": [container("50m", restartPolicy="Always"), container("400m")],
        "overhead": {"cpu": "10m"},
    }
    assert pod_requests(spec) == {"cpu": 460}


def test_preemption_takes_the_fewest_and_least_important() -> None:
    state = cluster(node("a", cpu="2"), node("b", cpu="2"))
    state.assume(pod("low", {"cpu": "1"}, priority=1), "a")
    state.assume(pod("high", {"cpu": "1"}, priority=5), "a")
    state.assume(pod("mid", {"cpu": "2"}, priority=3), "b")
    urgent = pod("urgent", {"cpu": "1"}, priority=10)
    before = {name: dict(info.requested) for name, info in state.nodes.items()}
    found = preempt(state, urgent)
    assert (found.node, [v.name for v in found.victims]) == ("a", ["low"])
    assert {name: dict(info.requested) for name, info in state.nodes.items()} == before
    assert state.is_assumed("uid-low")
    same = pod("same", {"cpu": "1"}, priority=1)
    found = preempt(state, same)
    assert found.message == "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."


def test_large_clusters_are_searched_in_part() -> None:
    assert [wanted(n) for n in (3, 100, 1000, 5000)] == [3, 100, 420, 500]
    state = cluster(*(node(f"n{i}") for i in range(300)))
    beside = pod(labels={"app": "web"}, topologySpreadConstraints=[{**spread(hard=False)}])
    assert len(run(state, beside).fits) == wanted(300)
    assert state.cursor > 0
