"""Upstream's documented behaviour, a row a rule: which packets a policy lets through."""

from __future__ import annotations

from typing import Any

import pytest

from netproxy.ground import Ground
from netproxy.model import Family
from netproxy.policy import base
from tests.netproxy.policy.world import DNS, Cluster, Node, copy_of, namespace, pod, policy

A, B, C = "10.244.1.1", "10.244.1.2", "10.244.2.3"
"""x/a and x/b of node1, x/c of node2"""
YA, ZA = "10.244.2.11", "10.244.1.21"
"""y/a of node2, z/a of node1"""
NODE, OTHER_NODE, WORLD = "10.20.0.11", "10.20.0.12", "198.51.100.9"


def cluster(*policies: dict[str, Any]) -> Cluster:
    made = Cluster(
        *(("namespace", namespace(space)) for space in "xyz"),
        ("pod", pod("x", "a", A)),
        ("pod", pod("x", "b", B)),
        ("pod", pod("x", "c", C, "node2")),
        ("pod", pod("y", "a", YA, "node2")),
        ("pod", pod("z", "a", ZA)),
        *(("policy", each) for each in policies),
    )
    made.sync()
    return made


def to_a(*rules: Any, **more: Any) -> dict[str, Any]:
    """Ingress to x/a."""
    return policy("x", podSelector={"matchLabels": {"pod": "a"}}, policyTypes=["Ingress"], ingress=list(rules), **more)


def from_a(*rules: Any, **more: Any) -> dict[str, Any]:
    """Egress of x/a."""
    return policy("x", podSelector={"matchLabels": {"pod": "a"}}, policyTypes=["Egress"], egress=list(rules), **more)


def pods(**labels: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": labels}}


def spaces(**labels: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": labels}}


def block(cidr: str, *excepted: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **({"except": list(excepted)} if excepted else {})}}


EVERYONE = (A, B, C, YA, ZA, WORLD, OTHER_NODE)
# name, policies, (source, target, port, protocol) that get through, those that do not
ROWS: list[tuple[str, list[dict[str, Any]], list[tuple[Any, ...]], list[tuple[Any, ...]]]] = [
    ("no policy: everything", [], [(s, A, 80) for s in EVERYONE], []),
    (
        "deny all ingress, by default types",
        [policy("x")],
        [(A, YA, 80), (A, WORLD, 80), (A, A, 80), (NODE, A, 80), (B, ZA, 80), (YA, ZA, 80)],
        [(B, A, 80), (C, A, 80), (YA, A, 80), (WORLD, A, 80), (OTHER_NODE, A, 80), (A, C, 80), (B, A, 53, "UDP")],
    ),
    (
        "deny all egress",
        [policy("x", policyTypes=["Egress"])],
        [(YA, A, 80), (WORLD, A, 80), (A, A, 80), (NODE, A, 80)],
        [(A, YA, 80), (A, B, 80), (A, WORLD, 80), (A, NODE, 10250), (A, DNS, 53, "UDP"), (A, OTHER_NODE, 80)],
    ),
    (
        "no types and no egress rules: ingress alone",
        [policy("x", ingress=[{}])],
        [(YA, A, 80), (A, YA, 80), (A, WORLD, 443)],
        [],
    ),
    (
        "no types but egress rules: both",
        [policy("x", egress=[{"to": [spaces(ns="y")]}])],
        [(A, YA, 80)],
        [(A, ZA, 80), (YA, A, 80), (A, B, 80)],
    ),
    (
        "an empty rule allows everybody on every port",
        [to_a({})],
        [*((s, A, 80) for s in EVERYONE), (B, A, 53, "UDP"), (B, A, 7, "SCTP")],
        [],
    ),
    (
        "empty lists are as none: from everybody",
        [to_a({"from": [], "ports": []})],
        [(s, A, 81) for s in EVERYONE],
        [],
    ),
    ("pods of its own namespace", [to_a({"from": [pods(pod="b")]})], [(B, A, 80)], [(C, A, 80), (YA, A, 80)]),
    (
        "an empty pod selector: its whole namespace",
        [to_a({"from": [{"podSelector": {}}]})],
        [(B, A, 80), (C, A, 80)],
        [(YA, A, 80), (WORLD, A, 80)],
    ),
    ("all pods of a namespace", [to_a({"from": [spaces(ns="y")]})], [(YA, A, 80)], [(B, A, 80), (ZA, A, 80)]),
    (
        "all pods of all namespaces, and nobody else",
        [to_a({"from": [{"namespaceSelector": {}}]})],
        [(YA, A, 80), (ZA, A, 80), (B, A, 80)],
        [(WORLD, A, 80), (OTHER_NODE, A, 80)],
    ),
    (
        "both selectors: pods in namespaces",
        [to_a({"from": [{**spaces(ns="y"), **pods(pod="a")}]})],
        [(YA, A, 80)],
        [(ZA, A, 80), (B, A, 80)],
    ),
    (
        "two peers: either",
        [to_a({"from": [spaces(ns="y"), pods(pod="b")]})],
        [(YA, A, 80), (B, A, 80)],
        [(ZA, A, 80), (C, A, 80)],
    ),
    (
        "expressions",
        [
            to_a(
                {
                    "from": [
                        {
                            "namespaceSelector": {
                                "matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x", "z"]}]
                            }
                        },
                        {"podSelector": {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["b", "q"]}]}},
                    ]
                }
            )
        ],
        [(YA, A, 80), (B, A, 80)],
        [(ZA, A, 80), (C, A, 80)],
    ),
    (
        "a range with exceptions, from outside",
        [to_a({"from": [block("198.51.100.0/24", "198.51.100.8/30")]})],
        [("198.51.100.7", A, 80), ("198.51.100.12", A, 80)],
        [(WORLD, A, 80), ("198.51.101.1", A, 80), (B, A, 80)],
    ),
    (
        "a range holds pods, too, by their addresses",
        [from_a({"to": [block("10.244.2.0/24", "10.244.2.11/32")]})],
        [(A, C, 80)],
        [(A, YA, 80), (A, WORLD, 80)],
    ),
    ("the whole IPv4 is not IPv6", [to_a({"from": [block("0.0.0.0/0")]})], [(s, A, 80) for s in EVERYONE], []),
    (
        "one port",
        [to_a({"ports": [{"protocol": "TCP", "port": 80}]})],
        [(s, A, 80) for s in EVERYONE],
        [(B, A, 81), (B, A, 80, "UDP"), (B, A, 80, "SCTP")],
    ),
    ("TCP when no protocol is said", [to_a({"ports": [{"port": 80}]})], [(B, A, 80)], [(B, A, 80, "UDP")]),
    (
        "a protocol without port: all of its ports",
        [to_a({"ports": [{"protocol": "SCTP"}]})],
        [(B, A, 9, "SCTP"), (B, A, 65535, "SCTP")],
        [(B, A, 9), (B, A, 9, "UDP")],
    ),
    (
        "a range of ports, and one within it",
        [
            to_a(
                {
                    "ports": [
                        {"port": 8000, "endPort": 8010},
                        {"port": 8005},
                        {"port": 8011},
                        {"port": 53, "protocol": "UDP"},
                    ]
                }
            )
        ],
        [(B, A, 8000), (B, A, 8005), (B, A, 8010), (B, A, 8011), (B, A, 53, "UDP")],
        [(B, A, 7999), (B, A, 8012), (B, A, 8005, "UDP"), (B, A, 53)],
    ),
    (
        "a named port is what the selected pod calls so",
        [to_a({"ports": [{"port": "web"}]})],
        [(YA, A, 80)],
        [(YA, A, 81), (YA, A, 80, "UDP")],
    ),
    (
        "a named port is of its protocol",
        [to_a({"ports": [{"port": "dns", "protocol": "UDP"}, {"port": "web", "protocol": "UDP"}]})],
        [(YA, A, 53, "UDP")],
        [(YA, A, 53), (YA, A, 80, "UDP")],
    ),
    (
        "egress to a named port is what the peer calls so",
        [from_a({"to": [spaces(ns="y")], "ports": [{"port": "web"}]})],
        [(A, YA, 80)],
        [(A, YA, 81), (A, ZA, 80)],
    ),
    (
        "egress to a named port of anybody",
        [from_a({"ports": [{"port": "web"}]})],
        [(A, YA, 80), (A, ZA, 80)],
        [(A, WORLD, 80), (A, YA, 53, "UDP")],
    ),
    (
        "peers and ports of a rule must both fit",
        [to_a({"from": [spaces(ns="y")], "ports": [{"port": 80}]}, {"from": [pods(pod="b")], "ports": [{"port": 81}]})],
        [(YA, A, 80), (B, A, 81)],
        [(YA, A, 81), (B, A, 80)],
    ),
    (
        "policies add up",
        [policy("x", "deny"), to_a({"from": [spaces(ns="y")]}), policy("x", "b", ingress=[{"from": [pods(pod="b")]}])],
        [(YA, A, 80), (B, A, 80), (B, C, 80)],
        [(ZA, A, 80), (YA, B, 80)],
    ),
    (
        "both ends must agree",
        [
            policy("x", policyTypes=["Egress"], egress=[{"to": [spaces(ns="y")]}]),
            policy("y", ingress=[{"from": [spaces(ns="z")]}]),
        ],
        [(ZA, YA, 80)],
        [(A, YA, 80), (A, ZA, 80), (WORLD, YA, 80)],
    ),
    (
        "egress to the cluster's DNS by its labels",
        [
            from_a(
                {
                    "to": [
                        {**spaces(**{"kubernetes.io/metadata.name": "kube-system"}), **pods(**{"k8s-app": "kube-dns"})}
                    ],
                    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}],
                }
            )
        ],
        [(A, DNS, 53, "UDP"), (A, DNS, 53)],
        [(A, DNS, 54, "UDP"), (A, NODE, 53, "UDP"), (A, YA, 53, "UDP")],
    ),
    (
        "other namespaces are untouched",
        [policy("y", policyTypes=["Ingress", "Egress"])],
        [(A, B, 80), (WORLD, A, 80), (ZA, A, 80)],
        [(A, YA, 80), (YA, A, 80)],
    ),
]


@pytest.mark.parametrize(("policies", "through", "stopped"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_what_gets_through(policies: list[Any], through: list[Any], stopped: list[Any]) -> None:
    made = cluster(*policies)
    made.put("namespace", namespace("kube-system"))
    made.sync()
    assert [packet for packet in through if not made.lets(*packet)] == []
    assert [packet for packet in stopped if made.lets(*packet)] == []


@pytest.mark.parametrize(("policies", "through", "stopped"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_the_same_between_pods_in_ipv6(policies: list[Any], through: list[Any], stopped: list[Any]) -> None:
    made = cluster(*policies)

    def both_pods(packets: list[Any]) -> list[Any]:
        ends = (p for p in packets if all(ip.startswith("10.244.") for ip in p[:2]))
        return [(copy_of(p[0]), copy_of(p[1]), *p[2:]) for p in ends]

    if "ipBlock" not in str(policies):
        assert [packet for packet in both_pods(through) if not made.lets(*packet)] == []
    assert [packet for packet in both_pods(stopped) if made.lets(*packet)] == []


def test_a_range_of_one_family_says_nothing_of_the_other() -> None:
    made = cluster(to_a({"from": [block("0.0.0.0/0")]}))
    assert made.lets(B, A, 80) and not made.lets(copy_of(B), copy_of(A), 80)
    made.put("policy", to_a({"from": [block("fd00:244:1::/64", "fd00:244:1::21/128")]}))
    made.sync()
    assert made.lets(copy_of(B), copy_of(A), 80)
    assert not made.lets(copy_of(ZA), copy_of(A), 80) and not made.lets(B, A, 80)


def test_a_pod_of_the_hosts_network_is_neither_selected_nor_a_peer() -> None:
    made = cluster(policy("x", ingress=[{"from": [{"podSelector": {}}]}]))
    made.put("pod", pod("x", "host", OTHER_NODE, "node2", host=True))
    made.sync()
    assert not made.lets(OTHER_NODE, A, 80)
    assert made.lets(WORLD, OTHER_NODE, 80)


def test_a_finished_pods_address_is_the_next_ones() -> None:
    made = cluster(to_a({"from": [pods(pod="b")]}))
    made.put("pod", pod("x", "b", B, phase="Succeeded"))
    made.sync()
    assert not made.lets(B, A, 80)
    made.put("pod", pod("z", "other", B))
    made.put("policy", policy("z", policyTypes=["Egress"]))
    made.sync()
    assert not made.lets(B, YA, 80)


def test_of_two_pods_with_one_address_the_younger_has_it() -> None:
    for first, second in (("a", "other"), ("other", "a")):
        made = cluster(policy("x"), policy("z", ingress=[{}]))
        for name in (first, second):
            space, born = ("x", "2026-01-01T00:00:00Z") if name == "a" else ("z", "2026-01-02T00:00:00Z")
            made.put("pod", pod(space, name, A, born=born))
        made.sync()
        assert made.lets(WORLD, A, 80)
        made.remove("pod", "z/other")
        made.sync()
        assert not made.lets(WORLD, A, 80)


def test_labels_of_namespaces_and_pods_count_from_the_moment_they_change() -> None:
    made = cluster(to_a({"from": [{**spaces(team="red"), **pods(role="client")}]}))
    assert not made.lets(YA, A, 80)
    made.put("namespace", namespace("y", team="red"))
    made.sync()
    assert not made.lets(YA, A, 80)
    made.put("pod", pod("y", "a", YA, "node2", {"role": "client"}))
    made.sync()
    assert made.lets(YA, A, 80)
    made.put("namespace", namespace("y", team="blue"))
    made.sync()
    assert not made.lets(YA, A, 80)


def test_an_address_nobody_is_known_to_have_waits_while_there_are_policies() -> None:
    made = cluster()
    new = "10.244.1.77"
    assert made.lets(new, YA, 80) and made.lets(WORLD, new, 80)
    made.put("policy", policy("y"))
    made.sync()
    assert not made.lets(new, WORLD, 80) and not made.lets(WORLD, new, 80) and not made.lets(new, DNS, 53, "UDP")
    assert made.lets(NODE, new, 80)
    made.put("pod", pod("x", "new", new))
    made.sync()
    assert made.lets(new, WORLD, 80) and made.lets(WORLD, new, 80)
    made.remove("policy", "y/policy")
    made.sync()
    assert made.lets("10.244.1.78", WORLD, 80)


def test_a_pods_address_counts_as_soon_as_its_network_says_so() -> None:
    made = cluster(policy("x", policyTypes=["Ingress", "Egress"]))
    made.put("pod", pod("x", "new", ""))
    made.put("pod", pod("z", "new", ""))
    node = made.nodes["node1"]
    node.tracker.told_addresses("x/new", ("10.244.1.77",))
    node.tracker.told_addresses("z/new", ("10.244.1.78",))
    made.sync()
    assert not made.lets("10.244.1.77", WORLD, 80) and made.lets("10.244.1.78", WORLD, 80)
    made.put("pod", pod("z", "new", "10.244.1.78"))
    node.tracker.told_addresses("z/new", ())
    made.sync()
    assert made.lets("10.244.1.78", WORLD, 80)


def test_a_selector_that_cannot_be_read_lets_nobody_in() -> None:
    broken = {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}
    made = cluster(policy("x", podSelector=broken, ingress=[{"from": [{"podSelector": broken}]}]))
    assert not made.lets(B, A, 80) and not made.lets(YA, A, 80)


def test_without_policies_nothing_is_written_whatever_pods_do() -> None:
    node = Node("node1")
    node.feed("namespace", None, namespace("x"))
    node.feed("pod", None, pod("x", "a", A))
    assert node.sync() == "" and all(not table.chains for table in node.tables.values())
    node.feed("policy", None, policy("x"))
    assert "egress-forward" in node.sync()
    node.feed("policy", policy("x"), None)
    assert node.sync() == "" and all(not table.chains for table in node.tables.values())


def test_a_change_costs_what_it_changes() -> None:
    made = cluster(to_a({"from": [spaces(ns="y")], "ports": [{"port": "web"}]}))
    for number in range(1, 200):
        made.put("pod", pod("y", f"p{number}", f"10.244.2.{number}", "node2"))
    made.sync()
    made.put("pod", pod("y", "new", "10.244.2.250", "node2"))
    lines = made.nodes["node1"].sync().splitlines()
    assert len(lines) == 4 and all(line.startswith("add element") for line in lines), lines
    made.put("policy", to_a({"from": [spaces(ns="y")]}))
    lines = made.nodes["node1"].sync().splitlines()
    # Two families: the chain anew, and the set of the named port goes in one piece.
    assert len(lines) == 6, lines
    made.put(
        "pod",
        {
            **pod("y", "new", "10.244.2.250", "node2"),
            "status": {"phase": "Running", "podIPs": [{"ip": "10.244.2.250"}]},
        },
    )
    assert made.nodes["node1"].sync().count("\n") == 1


@pytest.mark.parametrize("family", Family)
def test_for_what_is_under_way_no_route_is_looked_up(family: Family) -> None:
    """On the way out the sender's address is looked up to know the node's own packets, which nobody judges."""
    hooks = {declared: rules for _, declared, rules in base.layout(Ground(family)).hooks if "hook output" in declared}
    assert len(hooks) == 2
    for rules in hooks.values():
        assert rules[:2] == ("ct state established,related accept", "fib saddr type local accept")
