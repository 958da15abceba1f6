"""However a state was reached, the rules are those of a rebuild, by legal steps, and they say what `verdict` says."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netproxy.policy import views
from netproxy.policy.model import Pod
from netproxy.policy.verdict import Cluster as Question
from netproxy.policy.verdict import Party, judge
from tests.netproxy.policy.world import Cluster, Node, copy_of, namespace, pod, policy

SPACES, NAMES = ("x", "y"), ("a", "b", "c")
PLACES = {
    f"{space}/{name}": f"10.244.{1 + (i % 2)}.{i + 1}"
    for i, (space, name) in enumerate(itertools.product(SPACES, NAMES))
}
OUTSIDE = "198.51.100.9"

selectors = st.sampled_from(
    [
        {},
        {"matchLabels": {"role": "web"}},
        {"matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["web"]}]},
    ]
)
blocks = st.sampled_from(
    [
        {"cidr": "0.0.0.0/0"},
        {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24", "10.244.1.0/25"]},
        {"cidr": "198.51.100.0/24"},
        {"cidr": "::/0", "except": ["fd00:244:2::/64"]},
    ]
)
peers = st.one_of(
    selectors.map(lambda s: {"podSelector": s}),
    selectors.map(lambda s: {"namespaceSelector": s}),
    st.tuples(selectors, selectors).map(lambda both: {"namespaceSelector": both[0], "podSelector": both[1]}),
    blocks.map(lambda b: {"ipBlock": b}),
)
ports = st.sampled_from(
    [
        {"protocol": "TCP", "port": 80},
        {"protocol": "TCP", "port": 70, "endPort": 81},
        {"protocol": "UDP"},
        {"protocol": "TCP", "port": "web"},
        {"protocol": "SCTP", "port": 80},
    ]
)


def rules(word: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries({}, optional={word: st.lists(peers, max_size=3), "ports": st.lists(ports, max_size=3)})
    return st.lists(one, max_size=2)


specs = st.fixed_dictionaries(
    {"podSelector": selectors},
    optional={
        "ingress": rules("from"),
        "egress": rules("to"),
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    },
)


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, str, Any]:
    kind = draw(st.sampled_from(["pod", "pod", "namespace", "policy", "policy"]))
    space = draw(st.sampled_from(SPACES))
    if kind == "namespace":
        key, made = f"/{space}", namespace(space, **draw(st.sampled_from([{}, {"role": "web"}])))
    elif kind == "pod":
        name = draw(st.sampled_from(NAMES))
        key = f"{space}/{name}"
        ip = draw(st.sampled_from([PLACES[key], PLACES[key], "", PLACES["x/a"]]))
        labels = draw(st.sampled_from([{}, {"role": "web"}, {"role": "db"}]))
        named = draw(st.sampled_from([[("web", 80, "TCP")], [("web", 81, "TCP")], []]))
        node = f"node{1 + list(PLACES).index(key) % 2}"
        phase = draw(st.sampled_from(["Running", "Running", "Succeeded"]))
        born = f"2026-01-01T00:00:0{list(PLACES).index(key)}Z"
        made = pod(space, name, ip, node, labels, ports=named, phase=phase, born=born)
    else:
        name = draw(st.sampled_from(["one", "two"]))
        key, made = f"{space}/{name}", policy(space, name, **draw(specs))
    return kind, key, None if draw(st.integers(0, 4)) == 0 else made


def play(cluster: Cluster, sequence: list[tuple[tuple[str, str, Any], bool]]) -> None:
    for (kind, key, made), sync in sequence:
        if made is None:
            cluster.remove(kind, key)
        else:
            cluster.put(kind, made)
        if sync:
            cluster.sync()
    cluster.sync()


sequences = st.lists(st.tuples(steps(), st.booleans()), max_size=16)


@settings(max_examples=40)
@given(sequence=sequences)
def test_changes_lead_where_a_rebuild_leads(sequence: list[Any]) -> None:
    cluster = Cluster(*(("namespace", namespace(space)) for space in SPACES))
    play(cluster, sequence)
    for name, node in cluster.nodes.items():
        assert node.sync() == ""
        fresh = Node(name)
        for (kind, _), obj in cluster.objects.items():
            fresh.feed(kind, None, obj)
        fresh.sync()
        assert node.state() == fresh.state()
        if node.tracker.policies:
            node.rebuild()
            assert node.state() == fresh.state()


@settings(max_examples=40)
@given(sequence=sequences, setting=st.lists(specs, min_size=1, max_size=2))
def test_the_rules_say_what_the_model_says(sequence: list[Any], setting: list[Any]) -> None:
    cluster = Cluster(*(("namespace", namespace(space)) for space in SPACES))
    for key, ip in PLACES.items():
        space, name = key.split("/")
        cluster.put("pod", pod(space, name, ip, f"node{1 + list(PLACES).index(key) % 2}", {"role": "web"}))
    for number, spec in enumerate(setting):
        cluster.put("policy", policy(SPACES[number % 2], "set", **spec))
    # Here each pod keeps its own address, so that a packet has one answer.
    kept = [s for s in sequence if s[0][0] != "pod" or s[0][2] is None or _own(s[0])]
    play(cluster, kept)
    question, parties = _question(cluster)
    for (source, target), port in itertools.product(itertools.permutations(parties, 2), (("TCP", 80), ("UDP", 53))):
        if not (source.pod or target.pod):
            continue
        told = judge(question, source, target, *port)
        assert cluster.lets(source.ip, target.ip, port[1], port[0]) == told.allowed, (source, target, port, told)
        if source.pod and target.pod:
            one, other = Party(copy_of(source.ip), source.pod), Party(copy_of(target.ip), target.pod)
            told = judge(question, one, other, *port)
            assert cluster.lets(one.ip, other.ip, port[1], port[0]) == told.allowed, (source, target, port, told)


def _own(step: tuple[str, str, Any]) -> bool:
    _, key, made = step
    shown = [entry["ip"] for entry in made["status"]["podIPs"]]
    return not shown or shown[0] == PLACES[key]


def _question(cluster: Cluster) -> tuple[Question, list[Party]]:
    policies = tuple(views.policy(obj) for (kind, _), obj in cluster.objects.items() if kind == "policy")
    labels = {
        obj["metadata"]["name"]: obj["metadata"]["labels"]
        for (k, _), obj in cluster.objects.items()
        if k == "namespace"
    }
    pods = (views.pod(obj) for (kind, _), obj in cluster.objects.items() if kind == "pod")
    known: list[Pod] = [p for p in pods if p and p.ips]
    return Question(policies, labels), [*(Party(p.ips[0], p) for p in known), Party(OUTSIDE)]
