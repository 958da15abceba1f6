"""Rules of iptables chains that are not kept: they read as planned, and are worked out where they are read alone."""

from __future__ import annotations

from typing import Any

import pytest

from netproxy.ground import Ground
from netproxy.iptables import diff, later
from netproxy.iptables.later import Rules, claims
from netproxy.iptables.plan import Key, Value, plan
from netproxy.ledger import Ledger
from netproxy.model import Backend, Family, PortKey, Route, ServicePort

MANY = 2 * later._WARM
GROUND = Ground(Family.IPV4, cluster_cidrs=("10.244.0.0/16",))


def route(number: int, *last: int) -> Route:
    key = PortKey("default", f"s{number}", "p", "TCP", Family.IPV4)
    port = ServicePort(key, f"10.96.{number // 250}.{number % 250 + 1}", 80, affinity_seconds=number % 2 * 60)
    return Route(port, tuple(Backend(f"10.244.1.{n}", 8080) for n in last), (), True)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Services that were planned, as they are."""
    found: list[str] = []

    def noted(one: Route, ground: Ground) -> Any:
        found.append(one.port.key.service)
        return plan(one, ground)

    monkeypatch.setattr(later, "plan", noted)
    monkeypatch.setattr(later._Planned, "_warm", type(later._Planned._warm)())
    return found


def full(count: int) -> Ledger[Key, Value]:
    ledger = Ledger[Key, Value]()
    for number in range(count):
        ledger.claim(route(number, 1, 2).port.key, claims(route(number, 1, 2), GROUND))
    ledger.commit()
    return ledger


def test_they_read_as_planned_also_long_after() -> None:
    wanted = {number: dict(plan(route(number, 1, 2), GROUND)) for number in range(MANY)}
    ledger = full(MANY)
    found = dict(ledger.items())
    assert {key: tuple(value) for key, value in found.items()} == {
        k: v for one in wanted.values() for k, v in one.items()
    }
    assert sum(isinstance(value, Rules) for value in found.values()) == 3 * MANY
    for key, value in wanted[0].items():
        assert found[key] == value and value == found[key] and len(found[key]) == len(value)
        assert found[key][0] == value[0] and found[key][-1:] == value[-1:]
        assert found[key] != (*value[:-1], "-j DROP") and found[key] != (*value, "-j DROP") and found[key] != "x"


def test_a_change_plans_the_service_before_and_after_and_writes_what_differs(planned: list[str]) -> None:
    ledger = full(MANY)
    planned.clear()
    ledger.claim(route(4, 1, 3).port.key, claims(route(4, 1, 3), GROUND))
    delta = ledger.delta()
    text = diff.change(delta)
    assert planned == ["s4"] * 2
    before, after = (dict(plan(route(4, *last), GROUND)) for last in ((1, 2), (1, 3)))
    assert set(delta.added) == {key for key in after if before.get(key) != after[key]} and len(delta.added) == 2
    assert set(delta.removed) - set(delta.added) == set(before) - set(after)
    assert all(f"-A {key.chain} {rule}" in text for key in delta.added for rule in after[key])


def test_one_broken_chain_of_thousands_is_one_plan(planned: list[str]) -> None:
    ledger = full(MANY)
    planned.clear()
    chain = next(key.chain for key in dict(plan(route(7, 1, 2), GROUND)) if key.chain.startswith("KUBE-SVC"))
    text = diff.repair(ledger.items(), GROUND, {"nat": {chain}}, ())
    assert planned == ["s7"] and f":{chain} - [0:0]" in text and text.count(f"-A {chain} ") == 5
    assert sum(map(len, diff.sizes(ledger.items(), GROUND).values())) > 3 * MANY and planned == ["s7"]


def test_an_endpoint_that_stays_does_not_keep_the_routes_of_the_changes_it_saw(planned: list[str]) -> None:
    ledger = Ledger[Key, Value]()
    for last in range(2, 20):
        ledger.claim(route(4, 1).port.key, claims(route(4, *range(1, last)), GROUND))
        ledger.commit()
    kept = [claims(route(number, 1), GROUND) for number in range(1000, 1000 + MANY)]
    planned.clear()
    ledger.claim(route(4, 1).port.key, claims(route(4, *range(1, 20)), GROUND))
    assert planned == ["s4"] * 2 and kept, "one before and one after, not one for each endpoint"
