"""Which address a load balancer gets and which node announces it."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cloud import plan
from lab.cloud.plan import Balancer, Health, NoAddress, Range, Shift

FOUR = Range(ipaddress.ip_address("10.89.0.21"), ipaddress.ip_address("10.89.0.23"))
SIX = Range(ipaddress.ip_address("fd00::21"), ipaddress.ip_address("fd00::22"))
WELL, ILL = Health(0, True), Health(2, True)
PORT = 10256


def service(**spec: Any) -> dict[str, Any]:
    return {"spec": {"ipFamilies": ["IPv4"], **spec}}


@pytest.mark.parametrize(
    ("asked", "taken", "held", "found"),
    [
        ({}, (), (), ("10.89.0.21",)),
        ({}, ("10.89.0.21", "10.89.0.22"), (), ("10.89.0.23",)),
        ({}, (), ("10.89.0.23",), ("10.89.0.23",)),
        ({}, ("10.89.0.23",), ("10.89.0.23",), ("10.89.0.21",)),
        ({}, (), ("192.0.2.1",), ("10.89.0.21",)),
        ({"loadBalancerIP": "10.89.0.22"}, (), ("10.89.0.21",), ("10.89.0.22",)),
        ({"ipFamilies": ["IPv6", "IPv4"]}, (), (), ("fd00::21", "10.89.0.21")),
        ({"ipFamilies": ["IPv6", "IPv4"], "loadBalancerIP": "fd00::22"}, (), (), ("fd00::22", "10.89.0.21")),
    ],
)
def test_addresses(
    asked: dict[str, Any], taken: tuple[str, ...], held: tuple[str, ...], found: tuple[str, ...]
) -> None:
    assert plan.addresses(service(**asked), (FOUR, SIX), taken, held) == found


@pytest.mark.parametrize(
    ("asked", "taken", "why"),
    [
        ({}, ("10.89.0.21", "10.89.0.22", "10.89.0.23"), "no address is left of 10.89.0.21 to 10.89.0.23"),
        ({"loadBalancerIP": "10.89.0.1"}, (), "spec.loadBalancerIP 10.89.0.1 is not in 10.89.0.21 to 10.89.0.23"),
        ({"loadBalancerIP": "10.89.0.22"}, ("10.89.0.22",), "belongs to another Service"),
        ({"ipFamilies": ["IPv6"]}, (), "the lab has no IPv6 addresses"),
    ],
)
def test_addresses_that_cannot_be_had(asked: dict[str, Any], taken: tuple[str, ...], why: str) -> None:
    with pytest.raises(NoAddress, match=why):
        plan.addresses(service(**asked), (FOUR,), taken, ())


def balancer(*hosts: str, addresses: tuple[str, ...] = ("10.89.0.21",), port: int = PORT) -> Balancer:
    return Balancer("a1", "default/web", addresses, hosts, port)


@pytest.mark.parametrize(
    ("well", "current", "running", "found"),
    [
        ("a", "", "abc", "a"),
        ("ac", "c", "abc", "c"),
        # Ill, off, no host any more: another takes over.
        ("ac", "b", "abc", ("a", "c")),
        ("ab", "b", "ac", "a"),
        ("ad", "d", "abcd", "a"),
        # Nobody is well: it stays, unless its node is off.
        ("", "b", "abc", "b"),
        ("", "b", "ac", None),
        ("", "", "abc", None),
    ],
)
def test_who_announces(well: str, current: str, running: str, found: Any) -> None:
    health = {(host, PORT): WELL if host in well else ILL for host in "abcd"}
    there = {"10.89.0.21": current} if current else {}
    wanted = plan.announcers([balancer("a", "b", "c")], health, there, running).get("10.89.0.21")
    assert wanted in found if isinstance(found, tuple) else wanted == found


def test_two_bad_answers_make_ill_and_a_good_one_well() -> None:
    unheard = Health()
    assert not unheard.is_well and not unheard.after(False).is_well
    well = unheard.after(True)
    assert well.is_well and well.after(False).is_well
    assert not well.after(False).after(False).is_well
    assert well.after(False).after(False).after(True).is_well


def test_only_hosts_are_asked_each_at_its_port() -> None:
    both = [balancer("a", "b"), balancer("b", "c", port=30001), balancer("a")]
    assert plan.checks(both, "ab") == {("a", PORT), ("b", PORT), ("b", 30001)}


def test_a_move_takes_first_what_is_elsewhere() -> None:
    there = {"a": {"x", "y"}, "b": {"z"}, "c": set[str]()}
    assert plan.shift(there, {"x": "b", "y": "a"}) == Shift((("a", "x"), ("b", "z")), (("b", "x"),))
    assert plan.held({"b": {"x"}, "a": {"x", "y"}}) == {"x": "a", "y": "a"}


HOSTS = ("a", "b", "c")
EVENTS = st.lists(
    st.tuples(st.sampled_from(("ill", "well", "off", "on", "add", "remove")), st.sampled_from(HOSTS)), max_size=40
)


@given(EVENTS)
def test_an_address_is_on_one_node_and_moves_only_from_one_that_failed(events: list[tuple[str, str]]) -> None:
    """Whatever happens, an address is on at most one node, on a running host, and a well announcer keeps it."""
    health = {(host, PORT): WELL for host in HOSTS}
    hosts, running, there = set(HOSTS), set(HOSTS), {host: set[str]() for host in HOSTS}
    for event, host in events:
        if event in ("ill", "well"):
            health[host, PORT] = WELL if event == "well" else ILL
        elif event in ("off", "on"):
            running = running - {host} if event == "off" else running | {host}
        else:
            hosts = hosts | {host} if event == "add" else hosts - {host}
        before = plan.held(there)
        wanted = plan.announcers([balancer(*sorted(hosts))], health, before, running)
        change = plan.shift(there, wanted)
        for node, address in change.take:
            there[node].remove(address)
        for node, address in change.give:
            assert not any(address in held for held in there.values())
            there[node].add(address)
        able = {h for h in hosts & running if health[h, PORT].is_well}
        now = plan.held(there).get("10.89.0.21", "")
        assert (now in able) if able else (now in ("", before.get("10.89.0.21")))
        if before.get("10.89.0.21") in able:
            assert now == before["10.89.0.21"]
