"""Each plugin by upstream's documented behaviour: whom it refuses and why, whom it prefers, what wakes its pods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controlplane.scheduler.board import Boards
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import find, score
from controlplane.scheduler.explain import explain
from controlplane.scheduler.extract import Node, Pod
from controlplane.scheduler.framework import Plugin, Query
from controlplane.scheduler.plugins.balance import BalancedAllocation
from controlplane.scheduler.plugins.features import NodeDeclaredFeatures
from controlplane.scheduler.plugins.images import MEBIBYTE, ImageLocality
from controlplane.scheduler.plugins.interpod import InterPodAffinity, InterPodAffinityArgs
from controlplane.scheduler.plugins.node_affinity import NodeAffinity, NodeAffinityArgs
from controlplane.scheduler.plugins.node_name import NodeName
from controlplane.scheduler.plugins.ports import NodePorts
from controlplane.scheduler.plugins.resources import (
    NodeResourcesFit,
    NodeResourcesFitArgs,
    Resource,
    ScoringStrategy,
    Shape,
    ShapePoint,
)
from controlplane.scheduler.plugins.spread import PodTopologySpread, SpreadArgs
from controlplane.scheduler.plugins.taints import TaintToleration
from controlplane.scheduler.plugins.unschedulable import NodeUnschedulable
from controlplane.scheduler.plugins.volume_restrictions import VolumeRestrictions
from controlplane.scheduler.surroundings import Workloads
from tests.controlplane.scheduler.build import PROFILE, cluster, node, pod, run

ZONE = "topology.kubernetes.io/zone"


def points(plugin: Plugin, asking: Pod, state: Cluster) -> dict[str, float]:
    """What one plugin gives each node, normalized, in the order of the cluster."""
    nodes = list(state.nodes.values())
    given = plugin.pre_score(asking, Query(state), nodes)
    found = plugin.normalize(given, nodes, plugin.scores(given, asking, nodes))
    return {info.node.name: value for info, value in zip(nodes, found, strict=True)}


def fit(**strategy: Any) -> NodeResourcesFit:
    return NodeResourcesFit(NodeResourcesFitArgs(scoring_strategy=ScoringStrategy(**strategy)))


def loaded() -> Cluster:
    """a is a quarter full, b half; a pod of one cpu and 2 Gi comes."""
    state = cluster(node("a"), node("b"))
    state.assume(pod("x", {"cpu": "1", "memory": "2Gi"}), "a")
    state.assume(pod("y", {"cpu": "2", "memory": "4Gi"}), "b")
    return state


RISING = Shape((ShapePoint(0, 0), ShapePoint(100, 10)))
TENT = Shape((ShapePoint(20, 0), ShapePoint(50, 10), ShapePoint(100, 0)))
STRATEGIES = [
    ({}, {"a": 50, "b": 25}),
    ({"type": "MostAllocated"}, {"a": 50, "b": 75}),
    ({"type": "MostAllocated", "resources": (Resource("cpu", 3), Resource("memory", 1))}, {"a": 50, "b": 75}),
    ({"type": "RequestedToCapacityRatio", "requested_to_capacity_ratio": RISING}, {"a": 50, "b": 75}),
    ({"type": "RequestedToCapacityRatio", "requested_to_capacity_ratio": TENT}, {"a": 100, "b": 50}),
]


@pytest.mark.parametrize(("strategy", "expected"), STRATEGIES)
def test_strategies_of_resources(strategy: dict[str, Any], expected: dict[str, int]) -> None:
    assert points(fit(**strategy), pod("z", {"cpu": "1", "memory": "2Gi"}), loaded()) == expected


def test_an_extended_resource_counts_for_pods_that_ask_for_it() -> None:
    gpu = "example.com/gpu"
    found = fit(type="MostAllocated", resources=(Resource(gpu),))
    state = cluster(node("a", labels={}), node("b"))
    state.set_node(replace(state.nodes["a"].node, allocatable={**state.nodes["a"].node.allocatable, gpu: 4}))
    assert points(found, pod("z", {gpu: "1"}), state) == {"a": 25, "b": 0}
    assert points(found, pod("z", {"cpu": "1"}), state) == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    "ignoring", [{"ignored_resources": ("example.com/gpu",)}, {"ignored_resource_groups": ("example.com",)}]
)
def test_resources_that_are_ignored_need_no_room(ignoring: dict[str, Any]) -> None:
    (info,) = cluster(node("a")).nodes.values()
    asking = pod(requests={"example.com/gpu": "1", "cpu": "1"})
    assert NodeResourcesFit(NodeResourcesFitArgs(**ignoring)).filter(None, asking, info) is None
    assert NodeResourcesFit(unchecked=frozenset(("example.com/gpu",))).filter(None, asking, info) is None
    refused = NodeResourcesFit(NodeResourcesFitArgs(**ignoring)).filter(None, pod(requests={"cpu": "9"}), info)
    assert refused is not None and (refused.reason, refused.unresolvable) == ("Insufficient cpu", True)


WRONG_FIT = [
    ({"type": "Fullest"}, "scoringStrategy.type: 'Fullest' is not known"),
    ({"resources": (Resource("cpu", 0),)}, "resource weight of cpu not in valid range"),
    ({"type": "RequestedToCapacityRatio"}, "requestedToCapacityRatio: must be there when"),
    ({"requested_to_capacity_ratio": RISING}, "requestedToCapacityRatio: must be there when"),
    ({"type": "RequestedToCapacityRatio", "requested_to_capacity_ratio": Shape()}, "at least one point"),
    (
        {
            "type": "RequestedToCapacityRatio",
            "requested_to_capacity_ratio": Shape((ShapePoint(5, 1), ShapePoint(5, 2))),
        },
        "sorted in increasing order",
    ),
    (
        {"type": "RequestedToCapacityRatio", "requested_to_capacity_ratio": Shape((ShapePoint(0, 11),))},
        "range \\[0, 10\\]",
    ),
]


@pytest.mark.parametrize(("strategy", "text"), WRONG_FIT)
def test_strategies_that_cannot_be(strategy: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        fit(**strategy)


def test_balance_is_what_the_pod_makes_better_or_worse() -> None:
    state = cluster(node("even"), node("memory"))
    state.assume(pod("x", {"memory": "4Gi"}), "memory")
    # The shares differ by a quarter after on `even`; on `memory` by a half before and by a quarter after.
    assert points(BalancedAllocation(), pod("z", {"cpu": "1"}), state) == {"even": 68, "memory": 81}
    # A pod that asks for nothing is told nothing.
    assert not isinstance(BalancedAllocation().pre_score(pod(), Query(state), ()), list)


@pytest.mark.parametrize(("taints", "expected"), [((0, 0), {"a": 100, "b": 100}), ((2, 1), {"a": 0, "b": 50})])
def test_taints_that_prefer_no_pods(taints: tuple[int, int], expected: dict[str, int]) -> None:
    def tainted(name: str, count: int) -> Node:
        return node(name, taints=[{"key": f"k{n}", "effect": "PreferNoSchedule"} for n in range(count)])

    assert points(TaintToleration(), pod(), cluster(tainted("a", taints[0]), tainted("b", taints[1]))) == expected


def prefers(weight: int, key: str, value: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
    return {"weight": weight, "preference": term}


def test_preferred_node_affinity_and_a_profile_s_own() -> None:
    state = cluster(node("a", labels={"disk": "ssd"}), node("b", labels={"disk": "ssd", "x": "y"}), node("c"))
    wanted = [prefers(20, "disk", "ssd"), prefers(30, "x", "y")]
    asking = pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wanted}})
    assert points(NodeAffinity(), asking, state) == {"a": 40, "b": 100, "c": 0}
    required = {"nodeSelectorTerms": [prefers(1, "disk", "ssd")["preference"]]}
    added = NodeAffinity(NodeAffinityArgs({"requiredDuringSchedulingIgnoredDuringExecution": required}))
    refused = added.filter(None, pod(), state.nodes["c"])
    assert refused is not None and refused.reason == "node(s) didn't match scheduler-enforced node affinity"
    assert added.filter(None, pod(), state.nodes["a"]) is None


def on_nodes(*names: str) -> dict[str, Any]:
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": list(names)}]}] if names else []
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def test_a_pod_that_names_its_nodes_is_looked_for_there_alone() -> None:
    state = cluster(*(node(f"n{i}") for i in range(50)))
    found = find(pod(affinity=on_nodes("n7")), PROFILE, Query(state), Boards())
    assert [verdict.info.node.name for verdict in found.fits] == ["n7"]
    assert not found.rejections
    full = run(state, pod(requests={"cpu": "9"}, affinity=on_nodes("n7")))
    said = "0/50 nodes are available: 1 Insufficient cpu, 49 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    assert explain(full, 50) == said
    gone = run(state, pod(affinity=on_nodes("elsewhere")))
    assert explain(gone, 50) == "0/50 nodes are available: 50 node(s) didn't satisfy plugin(s) [NodeAffinity]."


def test_images_that_are_there_already() -> None:
    state = cluster(node("a"), node("b"))
    big = replace(state.nodes["a"].node, images={"big:latest": 500 * MEBIBYTE})
    state.set_node(big)
    # Half the nodes have it, so it counts half: 250 MiB less the 23 that count nothing, of 977.
    asking = pod(containers=[{"name": "c", "image": "big"}])
    assert points(ImageLocality(), asking, state) == {"a": 23, "b": 0}
    assert not ImageLocality().judges(pod(), Query(state))
    state.set_node(replace(big, images={}))
    assert not ImageLocality().judges(asking, Query(state))


def disk(read_only: bool, kind: str = "gcePersistentDisk") -> list[dict[str, Any]]:
    sources: dict[str, dict[str, Any]] = {
        "gcePersistentDisk": {"pdName": "d"},
        "awsElasticBlockStore": {"volumeID": "d"},
        "iscsi": {"iqn": "d"},
        "rbd": {"monitors": ["m", "n"], "image": "d"},
    }
    return [{"name": "v", kind: {**sources[kind], "readOnly": read_only}}]


DISKS = [
    ("gcePersistentDisk", False, False, False),
    ("gcePersistentDisk", True, True, True),
    ("gcePersistentDisk", True, False, False),
    ("awsElasticBlockStore", True, True, False),
    ("iscsi", True, True, True),
    ("rbd", False, True, False),
]


@pytest.mark.parametrize(("kind", "theirs", "ours", "both"), DISKS)
def test_a_disk_serves_one_writer_of_a_node(kind: str, theirs: bool, ours: bool, both: bool) -> None:
    state = cluster(node("a"), node("b"))
    state.assume(pod("there", volumes=disk(theirs, kind)), "a")
    asking = pod("asking", volumes=disk(ours, kind))
    given = VolumeRestrictions().pre_filter(asking, Query(state))
    refused = VolumeRestrictions().filter(given, asking, state.nodes["a"])
    assert (refused is None) == both
    assert refused is None or refused.reason == "node(s) had no available disk"
    assert VolumeRestrictions().filter(given, asking, state.nodes["b"]) is None


def term(key: str = ZONE, **more: Any) -> dict[str, Any]:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}, **more}


def near(*terms: dict[str, Any], kind: str = "podAffinity") -> dict[str, Any]:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def soft(weight: int, what: dict[str, Any], kind: str = "podAffinity") -> dict[str, Any]:
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": what}]}}


def zones() -> Cluster:
    return cluster(*(node(f"{zone}{n}", labels={ZONE: zone}) for zone in "ab" for n in (1, 2)))


def in_space(made: Pod, namespace: str) -> Pod:
    return replace(made, namespace=namespace, uid=f"{namespace}-{made.uid}", key=f"{namespace}/{made.name}")


SPACES = [
    ({}, False),
    ({"namespaces": ["other"]}, True),
    ({"namespaceSelector": {}}, True),
    ({"namespaceSelector": {"matchLabels": {"team": "x"}}}, True),
    ({"namespaceSelector": {"matchLabels": {"team": "y"}}}, False),
    ({"namespaces": ["third"], "namespaceSelector": {"matchLabels": {"team": "x"}}}, True),
]


@pytest.mark.parametrize(("more", "meant"), SPACES)
def test_namespaces_that_a_term_means(more: dict[str, Any], meant: bool) -> None:
    state = zones()
    state.set_space("other", {"team": "x"})
    state.assume(in_space(pod("there", labels={"app": "web"}), "other"), "a1")
    beside = run(state, pod("beside", affinity=near(term(**more))))
    assert (beside.node[:1] == "a") == meant
    away = pod("away", labels={"app": "db"}, affinity=near(term(**more), kind="podAntiAffinity"))
    assert {run(state, away, tie=t).node[0] for t in range(8)} == ({"b"} if meant else {"a", "b"})
    # A namespace's labels change, and so does what is meant.
    state.set_space("other", {"team": "y"})
    now = run(state, pod("beside", affinity=near(term(namespaceSelector={"matchLabels": {"team": "y"}}))))
    assert now.node[:1] == "a"


def test_friends_must_satisfy_every_term() -> None:
    state = zones()
    state.assume(pod("web", labels={"app": "web"}), "a1")
    state.assume(pod("db", labels={"tier": "db"}), "b1")
    both = near(term(), term(labelSelector={"matchLabels": {"tier": "db"}}))
    assert run(state, pod("wants", affinity=both)).node == ""
    state.assume(pod("all", labels={"app": "web", "tier": "db"}), "b2")
    assert run(state, pod("wants", affinity=both)).node[0] == "b"


WEIGHTS = [
    (soft(5, term()), {}, InterPodAffinityArgs(), {"a": 100, "b": 0}),
    (soft(5, term(), "podAntiAffinity"), {}, InterPodAffinityArgs(), {"a": 0, "b": 100}),
    # Of what runs already: its wishes about the pod that comes, of which the required ones weigh 1 by default.
    ({}, soft(5, term()), InterPodAffinityArgs(), {"a": 100, "b": 0}),
    ({}, near(term()), InterPodAffinityArgs(), {"a": 100, "b": 0}),
    ({}, near(term()), InterPodAffinityArgs(hard_pod_affinity_weight=0), None),
    ({}, soft(5, term()), InterPodAffinityArgs(ignore_preferred_terms_of_existing_pods=True), None),
]


@pytest.mark.parametrize(("ours", "theirs", "args", "expected"), WEIGHTS)
def test_preferences_between_pods(
    ours: dict[str, Any], theirs: dict[str, Any], args: InterPodAffinityArgs, expected: dict[str, int] | None
) -> None:
    state = zones()
    state.assume(pod("there", labels={"app": "web"}, affinity=theirs), "a1")
    asking = pod("asking", labels={"app": "web"}, affinity=ours)
    plugin = InterPodAffinity(args)
    if expected is None:
        assert not isinstance(plugin.pre_score(asking, Query(state), ()), list)
    else:
        assert points(plugin, asking, state) == {f"{zone}{n}": expected[zone] for zone in "ab" for n in (1, 2)}


def constraint(key: str = ZONE, hard: bool = True, **more: Any) -> dict[str, Any]:
    when = "DoNotSchedule" if hard else "ScheduleAnyway"
    selector = {"matchLabels": {"app": "web"}}
    return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector, **more}


def web(name: str, *constraints: dict[str, Any], **spec: Any) -> Pod:
    return pod(name, labels={"app": "web", "v": "1"}, topologySpreadConstraints=list(constraints), **spec)


def homes(state: Cluster, asking: Pod) -> set[str]:
    found = find(asking, PROFILE, Query(state), Boards())
    return {verdict.info.node.name for verdict in found.fits}


SKEWS = [
    # One pod in zone a: the next goes to b.
    (constraint(), {}, {"b1", "b2"}),
    (constraint(maxSkew=2), {}, {"a1", "a2", "b1", "b2"}),
    # Fewer domains than asked for: an empty one is imagined, and both zones are too full for one pod more than 1.
    (constraint(minDomains=3), {}, {"b1", "b2"}),
    (constraint(minDomains=3, labelSelector={"matchLabels": {"v": "1"}}, matchLabelKeys=["app"]), {}, {"b1", "b2"}),
    # The pod may only use zone a, which is then the only one that counts; unless that is ignored.
    (constraint(), {"nodeSelector": {ZONE: "a"}}, {"a1", "a2"}),
    (constraint(nodeAffinityPolicy="Ignore"), {"nodeSelector": {ZONE: "a"}}, set()),
    # An empty selector counts no pods, but the pod itself matches it.
    (constraint(labelSelector={}), {}, {"a1", "a2", "b1", "b2"}),
]


@pytest.mark.parametrize(("asked", "spec", "expected"), SKEWS)
def test_hard_spread(asked: dict[str, Any], spec: dict[str, Any], expected: set[str]) -> None:
    state = zones()
    state.assume(web("there"), "a1")
    assert homes(state, web("asking", asked, **spec)) == expected


def test_spread_leaves_out_tainted_nodes_where_it_is_asked_to() -> None:
    tainted = node("b1", labels={ZONE: "b"}, taints=[{"key": "k", "effect": "NoSchedule"}])
    state = cluster(node("a1", labels={ZONE: "a"}), tainted)
    state.assume(web("there"), "a1")
    assert homes(state, web("asking", constraint())) == set()
    assert homes(state, web("asking", constraint(nodeTaintsPolicy="Honor"))) == {"a1"}


def test_pods_on_their_way_out_do_not_count_for_spread() -> None:
    state = zones()
    there = web("there")
    state.assume(there, "a1")
    state.place(replace(there, node_name="a1", deleting=True))
    assert homes(state, web("asking", constraint())) == {"a1", "a2", "b1", "b2"}


def test_soft_spread_prefers_the_emptier_and_puts_nodes_without_the_label_last() -> None:
    state = zones()
    state.set_node(node("bare"))
    for number in range(2):
        state.assume(web(f"p{number}"), "a1")
    found = points(PodTopologySpread(), web("asking", constraint(hard=False)), state)
    assert found["bare"] == 0
    assert found["b1"] == found["b2"] == 100
    assert 0 <= found["a1"] == found["a2"] < 100


class _Belongs(Workloads):
    def selector_of(self, pod: Pod) -> Any:
        return web("x", constraint()).spread[0].selector


@pytest.mark.parametrize("hard", [True, False])
def test_a_profile_s_default_constraints(hard: bool) -> None:
    listed = {key: value for key, value in constraint(hard=hard).items() if key != "labelSelector"}
    plugin = PodTopologySpread(SpreadArgs((listed,), "List"))
    state = zones()
    state.assume(web("there"), "a1")
    query = Query(state, _Belongs())
    asking = pod("asking", labels={"app": "web"})
    given = plugin.pre_filter(asking, query)
    if hard:
        refused = {name for name, info in state.nodes.items() if plugin.filter(given, asking, info)}
        assert refused == {"a1", "a2"}
        assert not plugin.judges(asking, query)
    else:
        assert not isinstance(given, tuple)
        assert plugin.judges(asking, query)


WRONG_SPREAD = [
    ((), "Random", "use List or System"),
    (({"maxSkew": 1},), "System", "leave them out"),
    (({"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"},), "List", "not in valid range"),
    (({"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"},), "List", "topologyKey"),
    (({"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "Never"},), "List", "whenUnsatisfiable"),
    ((constraint(),), "List", "must not define a selector"),
]


@pytest.mark.parametrize(("constraints", "kind", "text"), WRONG_SPREAD)
def test_default_constraints_that_cannot_be(constraints: tuple[Any, ...], kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SpreadArgs(constraints, kind)


SHARED_HOST: dict[str, Any] = {"hostNetwork": True, "hostUsers": False}
SUPPORT = "UserNamespacesHostNetworkSupport"


def declaring(name: str, *features: str) -> Node:
    return replace(node(name), features=frozenset(features))


def test_a_pod_goes_where_what_it_uses_is_declared() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
    restarting = {"containers": [{"name": "c", "image": "i", "restartPolicyRules": [rule]}]}
    asking = pod(**{**restarting, **SHARED_HOST})
    assert asking.features == ("RestartAllContainersOnContainerExits", SUPPORT)
    state = cluster(declaring("bare"), declaring("half", SUPPORT))
    assert explain(run(state, asking), 2).endswith("2 node(s) didn't match Pod's required features.")
    assert run(state, pod(**SHARED_HOST)).node == "half"
    state.set_node(declaring("bare", SUPPORT, "RestartAllContainersOnContainerExits", "More"))
    assert run(state, asking).node == "bare"


ADDED, REMOVED = Change.NODE_ADDED, Change.POD_REMOVED
LABELLED = node("n", labels={ZONE: "z", "disk": "ssd"})
HINTS = [
    (NodeResourcesFit(), pod(requests={"cpu": "5"}), Event(ADDED, LABELLED), False),
    (NodeResourcesFit(), pod(requests={"cpu": "4"}), Event(ADDED, LABELLED), True),
    (NodeAffinity(), pod(nodeSelector={"disk": "hdd"}), Event(ADDED, LABELLED), False),
    (NodeAffinity(), pod(nodeSelector={"disk": "ssd"}), Event(ADDED, LABELLED), True),
    (NodeUnschedulable(), pod(), Event(ADDED, node("n", unschedulable=True)), False),
    (NodeUnschedulable(), pod(), Event(ADDED, LABELLED), True),
    (TaintToleration(), pod(), Event(ADDED, node("n", taints=[{"key": "k", "effect": "NoExecute"}])), False),
    (TaintToleration(), pod(), Event(ADDED, LABELLED), True),
    (NodeName(), pod(nodeName="other"), Event(ADDED, LABELLED), False),
    (NodeDeclaredFeatures(), pod(**SHARED_HOST), Event(ADDED, LABELLED), False),
    (NodeDeclaredFeatures(), pod(**SHARED_HOST), Event(Change.NODE_FEATURES, declaring("n", SUPPORT)), True),
    (PodTopologySpread(), web("p", constraint("rack")), Event(ADDED, LABELLED), False),
    (PodTopologySpread(), web("p", constraint()), Event(ADDED, LABELLED), True),
    (PodTopologySpread(), web("p", constraint()), Event(REMOVED, old=pod("other")), False),
    (PodTopologySpread(), web("p", constraint()), Event(REMOVED, old=web("other")), True),
    (InterPodAffinity(), pod(affinity=near(term("rack"))), Event(ADDED, LABELLED), False),
    (InterPodAffinity(), pod(affinity=near(term())), Event(Change.POD_PLACED, pod=pod("other")), False),
    (InterPodAffinity(), pod(affinity=near(term())), Event(Change.POD_PLACED, pod=web("other")), True),
    (NodePorts(), pod(hostNetwork=True), Event(REMOVED, old=pod("other")), False),
    (VolumeRestrictions(), pod(volumes=disk(False)), Event(REMOVED, old=pod("other")), False),
    (VolumeRestrictions(), pod(volumes=disk(False)), Event(REMOVED, old=pod("other", volumes=disk(False))), True),
]


@pytest.mark.parametrize(("plugin", "waiting", "event", "helps"), HINTS)
def test_what_may_help_a_refused_pod(plugin: Plugin, waiting: Pod, event: Event, helps: bool) -> None:
    assert event.change in plugin.helped_by
    assert plugin.may_help(waiting, event) == helps


def test_what_is_remembered_of_nodes_is_what_would_be_said_anew() -> None:
    """Boards that followed every change choose among the same nodes, with the same totals, as fresh ones."""
    state, boards = zones(), Boards()
    asked = [pod("plain", {"cpu": "1"}), pod("taint", nodeSelector={ZONE: "a"}), web("spread", constraint(hard=False))]
    for step in range(12):
        name = f"{'ab'[step % 2]}{step % 2 + 1}"
        if step % 4 == 3:
            state.set_node(node(name, cpu=str(step), labels={ZONE: "ab"[step % 3 % 2]}, unschedulable=step == 7))
        else:
            state.assume(web(f"p{step}"), name)
        if step == 9:
            state.remove_node("b2")
        for asking in asked:
            followed, fresh = (find(asking, PROFILE, Query(state), b) for b in (boards, Boards()))
            assert _totals(asking, state, followed) == _totals(asking, state, fresh)
            assert followed.rejections == fresh.rejections


def _totals(asking: Pod, state: Cluster, found: Any) -> dict[str, float]:
    if not found.fits:
        return {}
    totals = score(asking, PROFILE, Query(state), found.fits, found.board)
    return {v.info.node.name: total for v, total in zip(found.fits, totals, strict=True)}
