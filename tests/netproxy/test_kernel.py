"""Real packets through every mode, in private network namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from apimachinery.kit import command, netns
from netproxy import conntrack, modes, standin
from netproxy.ground import Ground
from netproxy.iptables.apply import IptablesMode
from netproxy.model import Backend, Family, PortKey, Route, ServicePort
from tests.conftest import SLOWNESS
from tests.netproxy.elsewhere import Elsewhere
from tests.netproxy.rig import BRIEF, CLIENT_IP, IN_KERNEL, MODES, NODE_IP, PODS, Rig, new_rig
from tests.waiting import SECONDS, until

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
VIP, LOAD_BALANCER, EXTERNAL = "10.96.0.100", "203.0.113.7", "203.0.113.9"
VIP_HEX = "0A600064"
"""as /proc/net/ip_vs writes it"""
GROUND = Ground(Family.IPV4, cluster_cidrs=("10.244.0.0/16",), service_cidrs=("10.96.0.0/16",), node_ips=(NODE_IP,))
LOCAL, OTHER = PODS[:2], PODS[2]
ASKED_CHANGES = int(os.environ.get("WHERRY_CHANGES", "0"))
CHANGES, FEWEST_CHANGES = ASKED_CHANGES or 60, ASKED_CHANGES or 24
"""of endpoints under load: as many as there is time for, but never fewer than the second; or exactly so many"""
LOAD_SECONDS, SEED = max(CHANGES / 10, 20.0) * SLOWNESS, 7


def backends(*ips: str) -> tuple[Backend, ...]:
    return tuple(sorted(Backend(ip, 8080, ip in LOCAL) for ip in ips))


def route(*ips: str, name: str = "web", vip: str = VIP, protocol: str = "TCP", **asked: Any) -> Route:
    key = PortKey("default", name, "p", protocol, Family.IPV4)
    port = ServicePort(key, vip, 80, **asked)
    chosen = backends(*ips)
    local = tuple(b for b in chosen if b.local) if port.uses_local_endpoints else ()
    return Route(port, chosen if port.uses_cluster_endpoints else (), local, bool(chosen))


def of(*routes: Route) -> dict[PortKey, Route]:
    return {r.port.key: r for r in routes}


OLDER = "nftables, older library"
GROUNDS = {OLDER: replace(GROUND, random_by_priority=True)}


def made(mode_name: str, rig: Rig) -> modes.Mode:
    """A mode at work in the rig's node."""
    name, grounds = mode_name.split(",")[0], (GROUNDS.get(mode_name, GROUND),)
    return Elsewhere(name, grounds, rig.node) if name == "userspace" else modes.make(name, grounds, rig.node)


@contextlib.asynccontextmanager
async def world(mode_name: str) -> AsyncIterator[tuple[Rig, modes.Mode]]:
    with new_rig() as rig:
        await rig.wire()
        mode = made(mode_name, rig)
        await mode.open()
        try:
            yield rig, mode
        finally:
            mode.close()


def run(
    body: Callable[[Rig, modes.Mode], Coroutine[Any, Any, None]], mode_name: str, seconds: float = 60.0 * SLOWNESS
) -> None:
    async def main() -> None:
        async with world(mode_name) as (rig, mode):
            await asyncio.wait_for(body(rig, mode), seconds)

    asyncio.run(main())


IN_RULES = [name for name in MODES if name in ("nftables", "iptables")]
both = pytest.mark.parametrize("mode_name", MODES)
in_kernel = pytest.mark.parametrize("mode_name", IN_KERNEL)


@pytest.mark.parametrize("mode_name", [*MODES, OLDER])
def test_cluster_ip_and_node_port_reach_every_endpoint_from_everywhere(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(*PODS, node_port=30080)))
        for where, address, port in (
            (rig.client, VIP, 80),
            (rig.node, VIP, 80),
            (rig.pods[PODS[0]], VIP, 80),
            (rig.client, NODE_IP, 30080),
            (rig.node, NODE_IP, 30080),
            (rig.pods[PODS[0]], NODE_IP, 30080),
        ):
            assert set(rig.who(where, address, port, 40)) == set(PODS), (where, address)

    run(body, mode_name)


@both
def test_outside_traffic_is_masqueraded_and_pod_traffic_keeps_its_source(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(PODS[0], node_port=30080)))
        assert rig.ask(rig.client, VIP, 80)[1] != CLIENT_IP
        assert rig.ask(rig.client, NODE_IP, 30080)[1] != CLIENT_IP
        seen = rig.ask(rig.pods[OTHER], VIP, 80)[1]
        # A relay has only its node's addresses.
        assert seen != OTHER if mode_name == "userspace" else seen == OTHER

    run(body, mode_name)


@both
def test_hairpin_pod_reaches_itself_through_its_service(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(PODS[0], node_port=30080)))
        assert rig.ask(rig.pods[PODS[0]], VIP, 80)[0] == PODS[0]
        assert rig.ask(rig.pods[PODS[0]], NODE_IP, 30080)[0] == PODS[0]

    run(body, mode_name)


@both
def test_no_endpoints_is_refused_at_once_and_no_local_endpoints_is_silence(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(node_port=30080, external_ips=(EXTERNAL,))))
        for where in (rig.client, rig.node, rig.pods[OTHER]):
            assert rig.outcome(where, VIP, 80) == "refused"
        assert rig.outcome(rig.client, NODE_IP, 30080) == "refused"
        assert rig.outcome(rig.client, EXTERNAL, 80) == "refused"
        await mode.change(of(route(OTHER, internal_local=True)))
        # Where nobody listens the kernel itself refuses.
        nobody = "refused" if mode_name == "userspace" else "silence"
        assert rig.outcome(rig.client, VIP, 80, BRIEF) == nobody
        assert rig.outcome(rig.node, VIP, 80, BRIEF) == nobody

    run(body, mode_name)


@both
def test_external_policy_local_keeps_the_source_and_short_cuts_pods(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        wanted: dict[str, Any] = {"node_port": 30080, "external_local": True, "load_balancer_ips": (LOAD_BALANCER,)}
        await mode.rebuild(of(route(*PODS, **wanted)))
        for address, port in ((NODE_IP, 30080), (LOAD_BALANCER, 80)):
            for _ in range(10):
                who, seen = rig.ask(rig.client, address, port)
                assert who in LOCAL
                assert seen == CLIENT_IP or mode_name == "userspace"
            # A virtual server of IPVS has one list of real servers for everybody.
            short_cut = set(LOCAL) if mode_name == "ipvs" else set(PODS)
            assert set(rig.who(rig.pods[PODS[0]], address, port, 40)) == short_cut
            assert set(rig.who(rig.node, address, port, 40)) == short_cut
        await mode.change(of(route(OTHER, **wanted)))
        assert rig.outcome(rig.client, NODE_IP, 30080, BRIEF) == "silence"
        assert rig.outcome(rig.client, LOAD_BALANCER, 80, BRIEF) == "silence"
        assert rig.outcome(rig.node, NODE_IP, 30080) == "answered"
        assert rig.outcome(rig.pods[PODS[0]], LOAD_BALANCER, 80) == "answered"

    run(body, mode_name)


@both
def test_session_affinity_binds_a_client_on_every_address(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(*PODS, node_port=30080, affinity_seconds=600)))
        first = rig.ask(rig.client, VIP, 80)[0]
        assert set(rig.who(rig.client, VIP, 80, 15)) == {first}
        # IPVS binds a client to each virtual server apart.
        by_port = rig.ask(rig.client, NODE_IP, 30080)[0]
        assert by_port == first or mode_name == "ipvs"
        assert set(rig.who(rig.client, NODE_IP, 30080, 15)) == {by_port}
        others = tuple(ip for ip in PODS if ip != first)
        await mode.change(of(route(*others, node_port=30080, affinity_seconds=600)))
        second = rig.ask(rig.client, VIP, 80)[0]
        assert second in others
        assert set(rig.who(rig.client, VIP, 80, 15)) == {second}

    run(body, mode_name)


@both
def test_source_ranges_guard_the_load_balancer_address_only(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        asked: dict[str, Any] = {"node_port": 30080, "load_balancer_ips": (LOAD_BALANCER,)}
        await mode.rebuild(of(route(*PODS, source_ranges=("198.51.100.0/24",), **asked)))
        assert rig.outcome(rig.client, LOAD_BALANCER, 80, BRIEF) == "silence"
        assert rig.outcome(rig.client, VIP, 80) == "answered"
        assert rig.outcome(rig.client, NODE_IP, 30080) == "answered"
        await mode.change(of(route(*PODS, source_ranges=("198.51.100.0/24", CLIENT_IP + "/32"), **asked)))
        assert rig.outcome(rig.client, LOAD_BALANCER, 80) == "answered"

    run(body, mode_name)


@in_kernel
def test_an_answer_the_tracker_cannot_place_reaches_nobody_under_the_endpoints_own_address(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(PODS[0])))
        client, server = rig.pods[OTHER], rig.pods[PODS[0]]
        with (
            netns.open_socket(client, socket.AF_INET, socket.SOCK_STREAM) as asking,
            netns.open_socket(client, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as seen,
            netns.open_socket(server, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as forger,
        ):
            asking.settimeout(60)
            asking.connect((VIP, 80))
            assert asking.recv(100)
            seen.settimeout(BRIEF)
            # Far outside of what either side has said: no connection has such a segment.
            port = asking.getsockname()[1]
            forger.sendto(segment(PODS[0], OTHER, 8080, port, sequence=1 << 31), (OTHER, 0))
            with pytest.raises(TimeoutError):
                while True:
                    packet = seen.recv(2000)
                    assert socket.inet_ntoa(packet[12:16]) != PODS[0], "its receiver would reset the connection"

    run(body, mode_name)


def segment(source: str, target: str, sport: int, dport: int, sequence: int) -> bytes:
    """A TCP segment that acknowledges, with a byte of data."""
    head = struct.pack("!HHIIBBHHH", sport, dport, sequence, 1, 5 << 4, 0x18, 1000, 0, 0) + b"x"
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head))
    data = pseudo + head + b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:16] + struct.pack("!H", ~total & 0xFFFF) + head[18:]


@pytest.mark.parametrize("successor", ["nftables", "userspace"])
def test_who_comes_when_the_relay_has_ended_waits_for_its_successor(successor: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        routes = of(route(*PODS, node_port=30080))
        await mode.rebuild(routes)
        assert rig.outcome(rig.client, VIP, 80) == "answered"
        mode.close()
        assert rig.outcome(rig.client, VIP, 80, BRIEF) == "silence"
        waiting = asyncio.ensure_future(asyncio.to_thread(rig.ask, rig.client, VIP, 80, 30))
        later = made(successor, rig)
        await later.open()
        await later.rebuild(routes)
        leftovers = Elsewhere("userspace", (GROUND,), rig.node)
        if successor != "userspace":
            await leftovers.cleanup()
        assert (await waiting)[0] in PODS
        assert rig.outcome(rig.node, VIP, 80) == "answered"
        leftovers.close()
        await later.cleanup()
        assert VIP not in await everything(rig)
        later.close()

    run(body, "userspace")


@both
def test_changes_under_load_fail_no_connection(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(*PODS, node_port=30080)))
        chance, made = random.Random(SEED), 0
        with rig.loaded((VIP, 80), (NODE_IP, 30080), (VIP, 80)) as (answers, failures):
            deadline = time.monotonic() + LOAD_SECONDS
            while made < CHANGES and (made < FEWEST_CHANGES or time.monotonic() < deadline):
                made += 1
                write = mode.rebuild if made % 20 == 0 else mode.change
                await write(of(route(*chance.sample(PODS, chance.randint(1, 3)), node_port=30080)))
                await asyncio.sleep(0.01)
            await until(lambda: failures or len(answers) >= 50, SECONDS * SLOWNESS, "answers")
        print(f"{mode_name}: {made} changes, {len(answers)} connections")
        assert failures == []

    run(body, mode_name, LOAD_SECONDS + 60 * SLOWNESS + ASKED_CHANGES)


@pytest.mark.parametrize("mode_name", [name for name in MODES if name not in IN_RULES])
def test_a_udp_client_is_led_elsewhere_when_its_endpoint_goes(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(PODS[0], protocol="UDP")))
        handle = rig.udp(rig.client)
        handle.settimeout(1)

        def ask() -> str:
            # The first datagram after a change may be lost, as datagrams may.
            for _ in range(10):
                with contextlib.suppress(OSError):
                    handle.sendto(b"?", (VIP, 80))
                    return handle.recv(200).decode().split()[0]
            return ""

        assert [ask() for _ in range(3)] == [PODS[0]] * 3
        await mode.change(of(route(OTHER, protocol="UDP")))
        assert [ask() for _ in range(3)] == [OTHER] * 3

    run(body, mode_name)


@pytest.mark.parametrize("mode_name", IN_RULES)
def test_stale_udp_flows_are_removed(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        before = route(PODS[0], protocol="UDP")
        await mode.rebuild(of(before))
        handle = rig.udp(rig.client)

        def ask() -> str:
            handle.sendto(b"?", (VIP, 80))
            return handle.recv(200).decode().split()[0]

        assert ask() == PODS[0]
        after = route(OTHER, protocol="UDP")
        await mode.change(of(after))
        assert ask() == PODS[0], "the kernel remembers the flow"
        changes = {before.port.key: (before, after)}
        removed = netns.call(rig.node, lambda: conntrack.sweep(changes, (Family.IPV4,)))
        assert removed == {Family.IPV4: 1}
        assert ask() == OTHER

    run(body, mode_name)


@in_kernel
def test_rebuild_replaces_what_an_earlier_process_left(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        await mode.rebuild(of(route(*PODS, node_port=30080), route(*PODS, name="old", vip="10.96.0.101")))
        successor = modes.make(mode_name, (GROUND,), rig.node)
        await successor.open()
        try:
            await successor.rebuild(of(route(OTHER, node_port=30080)))
            assert set(rig.who(rig.client, VIP, 80)) == {OTHER}
            assert rig.outcome(rig.client, "10.96.0.101", 80, BRIEF) != "answered"
            await successor.change({route().port.key: None})
            assert rig.outcome(rig.client, VIP, 80, BRIEF) != "answered"
        finally:
            successor.close()

    run(body, mode_name)


@in_kernel
def test_a_restarted_proxy_remembers_session_affinity(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        routes = of(route(*PODS, affinity_seconds=600))
        await mode.rebuild(routes)
        first = rig.ask(rig.client, VIP, 80)[0]
        successor = modes.make(mode_name, (GROUND,), rig.node)
        await successor.open()
        try:
            await successor.rebuild(routes)
            assert set(rig.who(rig.client, VIP, 80, 15)) == {first}
        finally:
            successor.close()

    run(body, mode_name)


def test_a_flat_table_serves_until_lost_iptables_chains_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin, "_MANY_NEW", 1)
    served: list[str] = []

    async def body(rig: Rig, mode: modes.Mode) -> None:
        write = IptablesMode.rebuild
        routes = of(route(*PODS, node_port=30080))

        async def late(chains: IptablesMode, wanted: dict[PortKey, Route]) -> None:
            assert "KUBE-SVC" not in await ruleset(rig) or not served
            for where in (rig.client, rig.node, rig.pods[PODS[0]]):
                served.extend(rig.who(where, VIP, 80))
            assert rig.ask(rig.client, NODE_IP, 30080)[0] in PODS
            await write(chains, wanted)

        monkeypatch.setattr(IptablesMode, "rebuild", late)
        await mode.rebuild(routes)
        assert set(served) == set(PODS) and "stand-in" not in await ruleset(rig)
        assert set(rig.who(rig.client, VIP, 80, 40)) == set(PODS)
        served.clear()
        # What stands needs no stand-in, but it is taken away where an earlier process left it.
        monkeypatch.setattr(IptablesMode, "rebuild", write)
        await command.run(["nsenter", f"--net={rig.node}", "nft", "add", "table", "ip", "wherry-stand-in"], timeout=60)
        await mode.rebuild(routes)
        await mode.tidy()
        assert "stand-in" not in await ruleset(rig)

    run(body, "iptables")


async def ruleset(rig: Rig) -> str:
    argv = ["nsenter", f"--net={rig.node}", "nft", "list", "ruleset"]
    return (await command.run(argv, timeout=60)).stdout.decode()


async def everything(rig: Rig) -> str:
    """All that a mode may have written."""
    words = "nft list ruleset; iptables-save; ip address; ip route show table local; ipset save; cat /proc/net/ip_vs"
    argv = ["nsenter", f"--net={rig.node}", "sh", "-c", words]
    text = (await command.run(argv, timeout=60, check=False)).stdout.decode()
    # What the kernel's own table says of itself.
    return text.replace(VIP_HEX, VIP)


@both
def test_cleanup_leaves_nothing(mode_name: str) -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        asked: dict[str, Any] = {"load_balancer_ips": (LOAD_BALANCER,), "source_ranges": ("198.51.100.0/24",)}
        web = route(*PODS, affinity_seconds=60, node_port=30080, **asked)
        await mode.rebuild(of(web, route(name="b", vip="10.96.0.101")))
        assert VIP in await everything(rig)
        await mode.cleanup()
        await mode.cleanup()
        left = await everything(rig)
        assert all(word not in left for word in ("KUBE", "wherry", "WHERRY", "ipvs", VIP)), left

    run(body, mode_name)


def test_cleanup_leaves_another_kube_proxy_alone() -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        enter = ["nsenter", f"--net={rig.node}"]
        theirs = b"*nat\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\nCOMMIT\n"
        await command.run([*enter, "iptables-restore", "--noflush"], stdin=theirs, timeout=60)
        await mode.cleanup()
        assert "KUBE-SERVICES" in await ruleset(rig)

    run(body, "iptables")


def test_a_foreign_flush_is_noticed_by_notification() -> None:
    async def body(rig: Rig, mode: modes.Mode) -> None:
        routes = of(route(*PODS, node_port=30080))
        await mode.rebuild(routes)
        lost = asyncio.Event()
        watching = asyncio.ensure_future(mode.watch(lost.set, lost.set))
        await asyncio.sleep(0)  # it listens from its first step on
        await mode.rebuild(routes)
        await mode.change(of(route(OTHER, node_port=30080)))
        await asyncio.sleep(0.1)
        assert not lost.is_set(), "our own changes are not a stranger's"
        await command.run(["nsenter", f"--net={rig.node}", "nft", "flush", "ruleset"], timeout=60)
        await asyncio.wait_for(lost.wait(), SECONDS)
        await mode.rebuild(routes)
        assert set(rig.who(rig.client, VIP, 80, 40)) == set(PODS)
        watching.cancel()

    run(body, "nftables")
