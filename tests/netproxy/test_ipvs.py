"""IPVS mode on a kernel in memory that refuses what the kernel refuses; what the real one says is in tests/vm."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from apimachinery.kit import ipset, ipvs
from apimachinery.kit.command import CommandError
from apimachinery.kit.ipvs import Real, Schedule, Virtual
from apimachinery.kit.netlink import NetlinkError, wire
from netproxy.ground import Ground
from netproxy.iptables import base
from netproxy.ipvs import diff, host, rules
from netproxy.ipvs.diff import Found, State
from netproxy.ipvs.host import Host
from netproxy.ipvs.options import Options
from netproxy.ipvs.plan import Bound, Member, Place, Server, plan
from netproxy.model import Backend, Family, PortKey, Route, ServicePort
from tests import clock
from tests.netproxy.ipvs_kernel import Kernel
from tests.netproxy.simulated import ground, ipvs_mode
from tests.waiting import SECONDS, WHOLE, until

NODE, VIP = "10.20.0.11", "10.96.0.100"
FOUR = ground(Family.IPV4)
WEB = Virtual("TCP", VIP, 80)
A, B = ("10.244.1.5", 8080), ("10.244.2.5", 8080)
RR = Schedule("rr")


def route(*targets: tuple[str, int], protocol: str = "TCP", **asked: Any) -> Route:
    port = ServicePort(PortKey("default", "web", "p", protocol, Family.IPV4), VIP, 80, **asked)
    backends = tuple(Backend(ip, number, ip.startswith("10.244.1.")) for ip, number in sorted(targets))
    local = tuple(b for b in backends if b.local) if port.uses_local_endpoints else ()
    return Route(port, backends, local, bool(backends))


def of(*routes: Route) -> Any:
    return {r.port.key: r for r in routes}


def words(commands: tuple[tuple[bytes, str], ...]) -> list[str]:
    return [asked for _, asked in commands]


# What leaves.


def test_a_real_server_with_connections_gets_no_more_of_them_and_goes_with_the_last() -> None:
    kernel = Kernel(FOUR)
    mode = ipvs_mode(kernel, FOUR)
    asyncio.run(mode.rebuild(of(route(A, B))))
    reals = kernel.services[WEB].reals
    reals[A] = Real(1, 3)
    asyncio.run(mode.change(of(route(B))))
    assert reals == {A: Real(0, 3), B: Real(1)}
    # It comes back: its connections were never broken.
    asyncio.run(mode.change(of(route(A, B))))
    assert reals == {A: Real(1, 3), B: Real(1)}
    asyncio.run(mode.change(of(route(B))))

    async def see_off() -> None:
        watching = asyncio.ensure_future(mode._see_off())
        await asyncio.sleep(0.05)
        assert A in reals, "somebody is still there"
        reals[A] = Real(0, 0)
        while A in reals:
            await asyncio.sleep(0.01)
        watching.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netproxy.ipvs.apply._LEAVE_SECONDS", 0.01)
        asyncio.run(asyncio.wait_for(see_off(), WHOLE))
    assert reals == {B: Real(1)} and not mode._leaving


def test_a_restarted_proxy_goes_on_waiting_for_those_who_leave() -> None:
    kernel = Kernel(FOUR)
    asyncio.run(ipvs_mode(kernel, FOUR).rebuild(of(route(A, B))))
    kernel.services[WEB].reals[A] = Real(0, 1)
    mode = ipvs_mode(kernel, FOUR)
    asyncio.run(mode.rebuild(of(route(B))))
    assert kernel.services[WEB].reals[A] == Real(0, 1) and mode._leaving == {WEB}


def test_nobody_is_removed_who_may_just_have_got_a_connection() -> None:
    wanted = {WEB: Server(RR, (B,))}
    commands, leaving = diff.servers(wanted, {WEB: Found(RR, {A: Real(1, 0), B: Real(1)})})
    assert words(commands) == [f"give {A} of TCP {VIP} port 80 weight 0"] and leaving == {WEB}
    commands, leaving = diff.servers(wanted, {WEB: Found(RR, {A: Real(0, 0), B: Real(1)})})
    assert words(commands) == [f"delete {A} from TCP {VIP} port 80"] and not leaving


def test_a_change_of_modes_waits_for_those_who_still_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """And for nobody at a virtual server that stays."""
    monkeypatch.setattr("netproxy.ipvs.apply._LOOK_SECONDS", 0.01)
    kernel = Kernel(FOUR)
    theirs = Virtual("TCP", "198.51.100.7", 443)
    mode = ipvs_mode(kernel, FOUR)
    mode._options = Options(exclude_cidrs=("198.51.100.0/24",))
    read, looks = mode._host.read, list[State]()

    async def looked() -> State:
        looks.append(await read())
        return looks[-1]

    async def body() -> None:
        await mode.rebuild(of(route(A)))
        kernel.command(ipvs.add_service(theirs, RR), "another program")
        kernel.services[theirs].reals[B] = Real(1, 1, active=1)
        reals = kernel.services[WEB].reals
        reals[A] = Real(1, 1, active=1)
        monkeypatch.setattr(mode._host, "read", looked)
        leaving = asyncio.ensure_future(mode.cleanup(30.0))
        await until(lambda: leaving.done() or len(looks) > 5)
        assert not leaving.done() and WEB in kernel.services
        reals[A] = Real(1, 1, active=0)
        await asyncio.wait_for(leaving, SECONDS)
        assert set(kernel.services) == {theirs}

    asyncio.run(body())


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_what_never_ends_by_itself_is_given_up_at_once(protocol: str) -> None:
    virtual = Virtual(protocol, VIP, 80)
    found = {virtual: Found(RR, {A: Real(1, 5)})}
    commands, leaving = diff.servers({virtual: Server(RR, ())}, found)
    assert words(commands) == [f"delete {A} from {protocol} {VIP} port 80"] and not leaving


# What is written.


def test_nothing_is_asked_of_the_kernel_that_it_has_already() -> None:
    kernel = Kernel(FOUR)
    routes = of(route(A, B, node_port=30080, external_ips=("192.0.2.10",)))
    asyncio.run(ipvs_mode(kernel, FOUR).rebuild(routes))
    before = kernel.changes
    asyncio.run(ipvs_mode(kernel, FOUR).rebuild(routes))
    assert kernel.changes == before + len(rules.SETS), "the sets alone are asked for anew"


def test_a_change_touches_what_differs_alone() -> None:
    kernel = Kernel(FOUR)
    mode = ipvs_mode(kernel, FOUR)
    asyncio.run(mode.rebuild(of(route(A, B))))
    before = kernel.changes
    asyncio.run(mode.change(of(route(B))))
    assert kernel.changes == before + 2, "a real server, and a member of the set of those who may call themselves"


def one_look(mode: Any) -> bool:
    """Whether something was found that others did."""
    told: list[bool] = []

    async def main() -> None:
        watching = asyncio.ensure_future(mode._look(lambda: told.append(True)))
        await asyncio.sleep(0.5)
        watching.cancel()

    clock.run(main())
    return bool(told)


def test_all_virtual_servers_are_read_at_a_look_and_not_at_each_change() -> None:
    mode: Any = ipvs_mode(Kernel(FOUR), FOUR)
    asyncio.run(mode.rebuild(of(route(A))))
    assert mode._host.tables_read == 1
    for targets in ((A, B), (B,), (A,)):
        asyncio.run(mode.change(of(route(*targets))))
    assert mode._host.tables_read == 1
    assert not one_look(mode) and mode._host.tables_read == 2, "it is as we wrote it, though B has still to leave"
    assert not one_look(mode) and mode._host.tables_read == 3


def test_a_look_runs_through_all_servers_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    by_whom: set[threading.Thread] = set()
    without = ipvs.without

    def noted(table: bytes, virtuals: Collection[Virtual]) -> bytes:
        by_whom.add(threading.current_thread())
        return without(table, virtuals)

    monkeypatch.setattr(ipvs, "without", noted)
    mode = ipvs_mode(Kernel(FOUR), FOUR)
    asyncio.run(mode.rebuild(of(route(A))))
    asyncio.run(mode.change(of(route(B))))
    assert not one_look(mode)
    assert by_whom and threading.current_thread() not in by_whom


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["another server", "the server written", "its scheduler", "a server more", "a set"])
def test_what_others_do_around_a_change_is_found_at_the_next_look(what: str, when: str) -> None:
    kernel = Kernel(FOUR)
    mode = ipvs_mode(kernel, FOUR)
    key = PortKey("default", "db", "p", "TCP", Family.IPV4)
    other = Route(ServicePort(key, "10.96.0.101", 80), (Backend(*A), Backend(*B)), (), True)
    asyncio.run(mode.rebuild(of(route(A), other)))

    def damage() -> None:
        if what == "another server":
            kernel.services[Virtual("TCP", "10.96.0.101", 80)].reals.pop(A)
        elif what == "the server written":
            kernel.services[WEB].reals.update({A: Real(0), B: Real(0)})
        elif what == "its scheduler":
            kernel.services[WEB].schedule = Schedule("sh")
        elif what == "a server more":
            kernel.command(ipvs.add_service(Virtual("TCP", "10.96.0.102", 80), RR), "")
        else:
            kernel.sets["KUBE-CLUSTER-IP"].clear()

    if when == "before":
        damage()
    asyncio.run(mode.change(of(route(B))))
    if when == "after":
        damage()
    # A change mends the server that it touches.
    mended = when == "before" and what in ("the server written", "its scheduler")
    assert one_look(mode) is not mended


def test_an_address_that_another_device_has_is_not_taken_a_second_time() -> None:
    place = Place("rr", frozenset({NODE, "192.0.2.10"}))
    pieces = dict(plan(route(A, external_ips=("192.0.2.10", "192.0.2.11")), FOUR, place))
    assert {key.address for key in pieces if isinstance(key, Bound)} == {VIP, "192.0.2.11"}
    assert Virtual("TCP", "192.0.2.10", 80) in pieces


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        ({}, {NODE}),
        ({"node_ips": ()}, {NODE, "192.0.2.2"}),
        ({"node_port_cidrs": ("192.0.2.0/24",)}, {"192.0.2.2"}),
    ],
)
def test_node_ports_answer_at_the_addresses_that_are_asked_for(asked: dict[str, Any], answers: set[str]) -> None:
    on = replace(FOUR, **asked)
    pieces = plan(route(A, node_port=30080), on, Place("rr", frozenset({NODE, "192.0.2.2"})))
    assert {key.address for key, _ in pieces if isinstance(key, Virtual) and key.port == 30080} == answers


def test_an_address_that_comes_to_the_host_is_noticed_and_gets_the_node_ports() -> None:
    on = replace(FOUR, node_ips=())
    kernel = Kernel(on)
    mode = ipvs_mode(kernel, on)
    routes = of(route(A, node_port=30080))
    asyncio.run(mode.rebuild(routes))
    assert kernel.node == mode._node_addresses()
    kernel.node |= {"192.0.2.77"}
    assert kernel.node != mode._node_addresses()
    asyncio.run(mode.rebuild(routes))
    assert Virtual("TCP", "192.0.2.77", 30080) in kernel.services


def test_affinity_and_the_scheduler_are_told_to_every_virtual_server() -> None:
    kernel = Kernel(FOUR)
    mode = ipvs_mode(kernel, FOUR)
    mode._options = Options("mh")
    asyncio.run(mode.rebuild(of(route(A, node_port=30080, affinity_seconds=600))))
    assert {s.schedule for s in kernel.services.values()} == {Schedule("mh", 600, ipvs.SCHEDULER_2)}
    asyncio.run(mode.change(of(route(A, node_port=30080))))
    assert {s.schedule for s in kernel.services.values()} == {Schedule("mh", 0, ipvs.SCHEDULER_2)}


def test_source_ranges_of_everybody_become_two_halves_since_no_set_holds_them_whole() -> None:
    ranges = route(A, load_balancer_ips=("203.0.113.7",), source_ranges=("0.0.0.0/0",))
    kernel = Kernel(FOUR)
    asyncio.run(ipvs_mode(kernel, FOUR).rebuild(of(ranges)))
    allowed = kernel.sets["KUBE-LOAD-BALANCER-SOURCE-CIDR"]
    assert allowed == {"203.0.113.7,tcp:80,0.0.0.0/1", "203.0.113.7,tcp:80,128.0.0.0/1"}


# What is not ours.


def test_virtual_servers_in_excluded_ranges_stay_and_others_go() -> None:
    theirs, stale = Virtual("TCP", "198.51.100.7", 443), Virtual("UDP", "10.96.0.9", 53)
    state = State({one: Found(RR, {}) for one in (theirs, stale)}, {}, frozenset())
    steps = diff.whole((), state, ("198.51.100.0/24",))
    assert words(steps.serve) == ["delete virtual server UDP 10.96.0.9 port 53"]


def test_cleanup_leaves_nothing_of_ours_and_touches_nothing_where_the_device_is_not_ours() -> None:
    kernel = Kernel(FOUR)
    theirs = Virtual("TCP", "198.51.100.7", 443)
    kernel.command(ipvs.add_service(theirs, RR), "another program")
    mode = ipvs_mode(kernel, FOUR)
    asyncio.run(mode.cleanup())
    assert theirs in kernel.services
    mode._options = Options(exclude_cidrs=("198.51.100.0/24",))
    asyncio.run(mode.rebuild(of(route(A, B, node_port=30080))))
    assert len(kernel.services) == 3 and kernel.sets and kernel.bound and kernel.device
    asyncio.run(mode.cleanup())
    assert set(kernel.services) == {theirs}
    assert not kernel.sets and not kernel.bound and not kernel.device


def test_the_rules_stand_beside_those_of_iptables_mode_while_one_takes_over() -> None:
    ours, theirs = rules.chains(FOUR), base.chains(FOUR)
    for table, chains in ours.items():
        assert not chains.keys() & theirs.get(table, {}).keys()
        assert not any(base.KUBE.is_ours(table, chain, FOUR) for chain in chains if table in theirs)


@pytest.mark.parametrize("family", list(Family))
def test_every_rule_asks_a_set_that_is_made_by_a_name_the_kernel_takes(family: Family) -> None:
    made = {line.split()[1] for line in rules.creation(family).splitlines()}
    assert len(made) == len(rules.SETS) and all(len(name) <= 31 for name in made)
    for chains in rules.chains(Ground(family)).values():
        for lines in chains.values():
            asked = {line.partition("--match-set ")[2].split()[0] for line in lines if "--match-set" in line}
            assert asked <= made


# The fake refuses.


def test_the_kernel_in_memory_refuses_what_the_kernel_refuses() -> None:
    kernel = Kernel(FOUR, schedulers=("rr",))
    for command in (ipvs.set_service(WEB, RR), ipvs.delete_service(WEB), ipvs.add_real(WEB, A, 1)):
        with pytest.raises(NetlinkError, match="No such process"):
            kernel.command(command, "")
    with pytest.raises(NetlinkError, match="No such file"):
        kernel.command(ipvs.add_service(WEB, Schedule("wlc")), "")
    kernel.command(ipvs.add_service(WEB, RR), "")
    with pytest.raises(NetlinkError, match="File exists"):
        kernel.command(ipvs.add_service(WEB, RR), "")
    with pytest.raises(NetlinkError, match="No such file"):
        kernel.command(ipvs.set_real(WEB, A, 0), "")
    with pytest.raises(CommandError, match="does not exist"):
        kernel.restore("add KUBE-CLUSTER-IP 10.96.0.1,tcp:80\n")
    with pytest.raises(AssertionError, match="doesn't exist"):
        kernel.write_rules()


# Bytes.


def test_the_kernels_table_is_read_as_it_prints_it() -> None:
    lines = (
        b"IP Virtual Server version 1.2.1 (size=4096)",
        b"Prot LocalAddress:Port Scheduler Flags",
        b"  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
        b"TCP  0A600064:0050 rr  persistent 2700000 FFFFFFFF",
        b"  -> 0AF40105:1F90      Masq    1      2          3         ",
        b"  -> 0AF40205:1F90      Masq    0      0          0         ",
        b"UDP  [fd00:0096:0000:0000:0000:0000:0000:0100]:0035 wlc ",
        b"  -> [fd00:0244:0001:0000:0000:0000:0000:0005]:0035      Masq    1      0          1         ",
        b"FWM  00000001 rr ",
        b"  -> 0AF40105:0000      Route   1      0          0         ",
        b"",
    )
    table = b"\n".join(lines)
    six = Virtual("UDP", "fd00:96::100", 53)
    assert ipvs.parse_table(table) == {
        WEB: {A: Real(1, 5), B: Real(0, 0)},
        six: {("fd00:244:1::5", 53): Real(1, 1)},
    }
    assert ipvs.without_counts(table) == ipvs.without_counts(table.replace(b"2          3  ", b"7          0  "))
    assert ipvs.without_counts(table) != ipvs.without_counts(table.replace(b"Masq    0", b"Masq    1"))
    for shown in (table, ipvs.without_counts(table)):
        each = shown.splitlines(keepends=True)
        assert ipvs.without(shown, {WEB}) == b"".join(each[:3] + each[6:])
        assert ipvs.without(shown, {six}) == b"".join(each[:6] + each[8:])
        assert ipvs.without(shown, {WEB, six}) == b"".join(each[:3] + each[8:])
        assert ipvs.without(shown, ()) == ipvs.without(shown, {Virtual("UDP", VIP, 80)}) == shown


@pytest.mark.parametrize("virtual", [WEB, Virtual("SCTP", "fd00:96::100", 9)])
@pytest.mark.parametrize("persistence", [0, 600])
def test_a_virtual_server_reads_as_it_was_packed(virtual: Virtual, persistence: int) -> None:
    schedule = Schedule("sh", persistence, ipvs.SCHEDULER_2)
    assert ipvs.parse_service(ipvs.add_service(virtual, schedule)) == (virtual, schedule)


def test_the_timeouts_are_packed_in_seconds() -> None:
    packed = ipvs.set_timeouts(900, 0, 90)
    assert packed[0] == 12
    assert {kind: struct.unpack("=I", v)[0] for kind, v in wire.attributes(packed, 4).items()} == {4: 900, 5: 0, 6: 90}


def test_members_are_read_as_ipset_prints_them() -> None:
    text = "create KUBE-CLUSTER-IP hash:ip,port family inet\nadd KUBE-CLUSTER-IP 10.96.0.1,tcp:443\ncreate E hash:ip\n"
    assert ipset.parse(text) == {"KUBE-CLUSTER-IP": frozenset({"10.96.0.1,tcp:443"}), "E": frozenset()}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"scheduler": "best"}, "ipvs.scheduler"),
        ({"exclude_cidrs": ("here",)}, "ipvs.exclude_cidrs"),
        ({"udp_timeout": -1}, "ipvs.udp_timeout"),
    ],
)
def test_options_that_cannot_be_had_are_named(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(**asked)


def test_members_of_a_set_are_named_by_family() -> None:
    key = PortKey("default", "six", "p", "TCP", Family.IPV6)
    six = Route(ServicePort(key, "fd00:96::1", 80), (), (), False)
    pieces = dict(plan(six, ground(Family.IPV6), Place("rr")))
    assert Member("KUBE-6-CLUSTER-IP", "fd00:96::1,tcp:80") in pieces
    assert socket.inet_pton(socket.AF_INET6, "fd00:96::1") in ipvs.delete_service(Virtual("TCP", "fd00:96::1", 80))


@pytest.mark.parametrize(("asked", "told"), [("KUBE-CLUSTER-IP", ["KUBE-CLUSTER-IP"]), ("", [])])
def test_only_sets_that_stay_are_told_of(
    asked: str, told: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Together they cannot be destroyed; by itself each can whose rules are gone."""

    class Sets:
        present = frozenset({"KUBE-CLUSTER-IP", "KUBE-NODE-PORT-TCP"})

        async def members(self) -> dict[str, frozenset[str]]:
            return dict.fromkeys(self.present, frozenset[str]())

        async def restore(self, text: str) -> None:
            first, *more = text.splitlines()
            name = first.split()[1]
            if more or name == asked:
                raise CommandError(("ipset",), 1, "Set cannot be destroyed: it is in use by a kernel component", None)
            self.present = self.present - {name}

    removed = Host((Family.IPV4,), None, Options())
    monkeypatch.setattr(removed, "_sets", Sets())
    monkeypatch.setattr(removed, "_remove_device", lambda: None)
    monkeypatch.setattr(host, "_LET_GO_SECONDS", (0.0,))
    with caplog.at_level("INFO"):
        asyncio.run(removed.remove())
    assert [record.args for record in caplog.records] == [(name,) for name in told]
