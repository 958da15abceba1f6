"""What a Service of type LoadBalancer needs, and which nodes may stand behind it."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import Obj, name
from controlplane.cloud.interface import balancer_name
from controlplane.cloud.services import plan
from controlplane.cloud.services.plan import EXCLUDED, FINALIZER, Move
from tests.controlplane.controllers import build

BALANCED: dict[str, Any] = {"type": "LoadBalancer"}
GOING: dict[str, Any] = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def service(finalizer: bool = False, meta: dict[str, Any] | None = None, **spec: Any) -> Obj:
    made = build.service(**spec)
    made["metadata"] |= {"finalizers": ["own", FINALIZER] if finalizer else ["own"], **(meta or {})}
    return made


@pytest.mark.parametrize(
    ("given", "wants", "cleanup", "move"),
    [
        (service(**BALANCED), True, False, Move.ENSURE),
        (service(True, **BALANCED), True, False, Move.ENSURE),
        (service(True, GOING, **BALANCED), True, True, Move.DELETE),
        # Our finalizer cannot be added any more.
        (service(False, GOING, **BALANCED), True, False, Move.DELETE),
        (service(True, type="ClusterIP"), False, True, Move.DELETE),
        (service(False, type="ClusterIP"), False, False, Move.DELETE),
        (service(**BALANCED, loadBalancerClass="example.com/own"), False, False, Move.DELETE),
        # Somebody else's class, and somebody else's finalizer.
        (service(True, **BALANCED, loadBalancerClass="example.com/own"), False, False, Move.DELETE),
    ],
)
def test_moves(given: Obj, wants: bool, cleanup: bool, move: Move) -> None:
    assert (plan.wants(given), plan.needs_cleanup(given), plan.move(given)) == (wants, cleanup, move)


PORT = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ({}, False),
        ({"selector": {"app": "other"}}, False),
        ({"allocateLoadBalancerNodePorts": False}, False),
        ({"ports": [{**PORT, "targetPort": 81}]}, True),
        ({"ports": [{**PORT, "nodePort": 30000}]}, True),
        ({"ports": [{**PORT, "appProtocol": "http"}]}, True),
        ({"sessionAffinity": "ClientIP"}, True),
        ({"loadBalancerIP": "10.0.0.1"}, True),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, True),
        ({"externalIPs": ["10.0.0.1"]}, True),
        ({"externalTrafficPolicy": "Local"}, True),
        ({"healthCheckNodePort": 30001}, True),
        ({"ipFamilies": ["IPv4", "IPv6"]}, True),
        ({"ipFamilies": ["IPv6"]}, False),
        ({"type": "ClusterIP"}, True),
    ],
)
def test_a_change_that_matters(changed: dict[str, Any], matters: bool) -> None:
    assert plan.concerns(service(**BALANCED), service(**{**BALANCED, **changed})) is matters


def test_services_that_are_new_matter_when_they_want_something_or_left_something() -> None:
    assert plan.concerns(None, service(**BALANCED))
    assert not plan.concerns(None, service(type="NodePort"))
    assert plan.concerns(None, service(True, type="NodePort"))
    another = service(**BALANCED)
    another["metadata"]["uid"] = "other"
    assert plan.concerns(service(**BALANCED), another)
    annotated = service(meta={"annotations": {"a": "b"}}, **BALANCED)
    assert plan.concerns(service(**BALANCED), annotated)
    assert not plan.concerns(service(type="NodePort"), service(type="ClusterIP"))


def test_changes_are_told_to_people() -> None:
    before = service(**BALANCED, externalTrafficPolicy="Cluster", loadBalancerSourceRanges=["10.0.0.0/8"])
    after = service(**BALANCED, externalTrafficPolicy="Local", healthCheckNodePort=30001)
    assert list(plan.changes(before, after)) == [
        ("LoadBalancerSourceRanges", "[10.0.0.0/8] -> "),
        ("ExternalTrafficPolicy", "Cluster -> Local"),
        ("HealthCheckNodePort", " -> 30001"),
    ]
    assert list(plan.changes(service(type="NodePort"), after)) == [("Type", "NodePort -> LoadBalancer")]
    assert list(plan.changes(before, service(type="NodePort"))) == [("Type", "LoadBalancer -> NodePort")]
    assert not list(plan.changes(None, after))


def node(node_name: str, labels: dict[str, str] | None = None, **parts: Any) -> Obj:
    made = build.node(node_name, **{key: value for key, value in parts.items() if key != "deletionTimestamp"})
    made["metadata"]["labels"] = labels or {}
    if "deletionTimestamp" in parts:
        made["metadata"]["deletionTimestamp"] = parts["deletionTimestamp"]
    return made


def test_nodes_behind_a_load_balancer_need_not_be_ready_but_must_stay_and_not_refuse() -> None:
    nodes = [
        node("d", conditions=(build.ready("Unknown"),)),
        node("c", {EXCLUDED: "false"}),
        node("excluded", {EXCLUDED: ""}),
        node("excluded2", {EXCLUDED: "true"}),
        node("excluded3", {EXCLUDED: "nonsense"}),
        node("going", **GOING),
        node("marked", taints=[{"key": plan.TO_BE_DELETED, "effect": "NoSchedule"}]),
        node("b", unschedulable=True, taints=[{"key": "other", "effect": "NoExecute"}]),
        node("a"),
    ]
    assert [name(each) for each in plan.usable(nodes)] == ["a", "b", "c", "d"]


def test_changes_of_nodes_that_move_hosts() -> None:
    plain = node("a")
    assert plan.moves_hosts(None, plain) and plan.moves_hosts(plain, None)
    assert plan.moves_hosts(plain, node("a", providerID="lab://x/a"))
    assert plan.moves_hosts(plain, node("a", {EXCLUDED: ""}))
    assert plan.moves_hosts(plain, node("a", **GOING))
    assert not plan.moves_hosts(plain, node("a", conditions=(build.ready("False"),)))
    assert not plan.moves_hosts(node("a", {EXCLUDED: ""}), node("a", {EXCLUDED: "yes"}))


def test_the_finalizer_is_added_and_taken_off_alone() -> None:
    assert plan.with_finalizer(service(), True) == ["own", FINALIZER]
    assert plan.with_finalizer(service(True), False) == ["own"]
    assert plan.with_finalizer(service(True), True) is None
    assert plan.with_finalizer(service(), False) is None


def test_names_of_load_balancers_are_upstreams() -> None:
    made = build.service()
    made["metadata"]["uid"] = "12345678-1234-1234-1234-123456789abc"
    assert balancer_name(made) == "a1234567812341234123412345678" + "9ab"
