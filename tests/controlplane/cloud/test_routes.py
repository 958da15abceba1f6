"""Which routes a cloud should have."""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.cloud.interface import Route
from controlplane.cloud.routes import plan
from controlplane.cloud.routes.plan import Changes
from tests.controlplane.controllers import build

RANGES = ("10.244.0.0/16", "fd00:244::/48")


def node(name: str, *ranges: str, address: str = "10.0.0.5") -> Obj:
    made = build.node(name, podCIDRs=list(ranges)) if ranges else build.node(name)
    made["status"]["addresses"] = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    return made


def test_a_route_for_each_range_of_each_node() -> None:
    nodes = [node("a", "10.244.1.0/24", "fd00:244:0:1::/64"), node("b", "10.244.2.0/24"), node("new")]
    there = [Route("10.244.1.0/24", "a"), Route("10.244.9.0/24", "gone")]
    assert plan.changes(nodes, there, RANGES) == Changes(
        (Route("10.244.9.0/24", "gone"),),
        (Route("fd00:244:0:1::/64", "a", ("10.0.0.5",)), Route("10.244.2.0/24", "b", ("10.0.0.5",))),
    )


def test_what_is_so_already_costs_nothing() -> None:
    there = [Route("10.244.1.0/24", "a", ("10.0.0.5",), "made")]
    assert plan.changes([node("a", "10.244.1.0/24")], there, RANGES) == Changes((), ())


def test_others_routes_are_left_alone() -> None:
    there = [Route("192.0.2.0/24", "x"), Route("10.0.0.0/8", "y"), Route("fd01::/64", "z")]
    assert plan.changes([], there, RANGES) == Changes((), ())


def test_a_range_that_moved_a_black_hole_and_another_address_are_made_anew() -> None:
    wanted = Route("10.244.1.0/24", "b", ("10.0.0.6",))
    nodes = [node("b", "10.244.1.0/24", address="10.0.0.6")]
    for old in (
        Route("10.244.1.0/24", "a"),
        Route("10.244.1.0/24", "b", blackhole=True),
        Route("10.244.1.0/24", "b", ("10.0.0.5",)),
    ):
        assert plan.changes(nodes, [old], RANGES) == Changes((old,), (wanted,))


def test_a_node_is_told_whether_it_has_its_routes() -> None:
    with_range = node("a", "10.244.1.0/24")
    told = plan.network_condition(with_range, {}, build.T0)
    assert told is not None
    assert (told["status"], told["reason"], told["message"]) == (
        "False",
        "RouteCreated",
        "RouteController created a route",
    )
    with_range["status"]["conditions"].append(told)
    assert plan.network_condition(with_range, {}, build.T0) is None
    failed = plan.network_condition(with_range, {"a": "no room"}, build.T0)
    assert failed is not None and (failed["status"], failed["reason"]) == ("True", "NoRouteCreated")
    without = plan.network_condition(node("b"), {}, build.T0)
    assert without is not None and without["status"] == "True"
