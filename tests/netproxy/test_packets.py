"""Real packets to every kind of address of a Service, in both families, and by what a host can be told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import netns
from netproxy import modes
from netproxy.ground import Ground
from netproxy.model import Backend, Family, PortKey, Route, ServicePort
from tests.conftest import SLOWNESS
from tests.netproxy import rig as rigs
from tests.netproxy.elsewhere import Elsewhere
from tests.netproxy.rig import BRIEF, IN_KERNEL, MODES, PATIENT, Rig, new_rig

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
_PORTS = itertools.count(4000)


@dataclass(frozen=True)
class World:
    """A family's addresses in the rig."""

    family: Family
    pods: tuple[str, ...]
    node: str
    client: str
    vips: str
    """what a cluster IP begins with"""
    balancer: str
    external: str
    ground: Ground

    @property
    def local(self) -> tuple[str, ...]:
        return self.pods[:2]

    def route(self, number: int, *ips: str, protocol: str = "TCP", **asked: Any) -> Route:
        """Service `number`, with node port 30000 more than it is."""
        key = PortKey("default", f"s{number}", "p", protocol, self.family)
        port = ServicePort(key, self.vip(number), 80, node_port=30000 + number, **asked)
        chosen = tuple(sorted(Backend(ip, 8080, ip in self.local) for ip in ips))
        local = tuple(b for b in chosen if b.local) if port.uses_local_endpoints else ()
        return Route(port, chosen if port.uses_cluster_endpoints else (), local, bool(chosen))

    def vip(self, number: int) -> str:
        return f"{self.vips}{number}"


FOUR = World(
    *(Family.IPV4, rigs.PODS, rigs.NODE_IP, rigs.CLIENT_IP, "10.96.0.", "203.0.113.7", "203.0.113.9"),
    Ground(Family.IPV4, ("10.244.0.0/16",), service_cidrs=("10.96.0.0/16",), node_ips=(rigs.NODE_IP,)),
)
SIX = World(
    *(Family.IPV6, rigs.PODS6, rigs.NODE_IP6, rigs.CLIENT_IP6, "fd00:96::", "fd00:203::7", "fd00:203::9"),
    Ground(Family.IPV6, ("fd00:244::/32",), service_cidrs=("fd00:96::/112",), node_ips=(rigs.NODE_IP6,)),
)
BOTH = (FOUR.ground, SIX.ground)


@contextlib.asynccontextmanager
async def made(mode_name: str, rig: Rig, *grounds: Ground) -> Any:
    """A mode at work in the rig's node, gone from there at the end."""
    own = grounds or BOTH
    mode = Elsewhere(mode_name, own, rig.node) if mode_name == "userspace" else modes.make(mode_name, own, rig.node)
    await mode.open()
    try:
        await mode.prepare()
        yield mode
        await mode.cleanup()
    finally:
        mode.close()


def run(body: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        with new_rig() as rig:
            await rig.wire()
            await asyncio.wait_for(body(rig), 60 * SLOWNESS)

    asyncio.run(main())


def of(*routes: Route) -> dict[PortKey, Route]:
    return {r.port.key: r for r in routes}


@pytest.mark.parametrize("mode_name", MODES)
def test_every_kind_of_address_in_both_families_at_once(mode_name: str) -> None:
    async def body(rig: Rig) -> None:
        async with made(mode_name, rig) as mode:
            routes = of(*(one for world in (FOUR, SIX) for one in _services(world)))
            await mode.rebuild(routes)
            for world in (FOUR, SIX):
                _asked(rig, world, mode_name)
            for world in (FOUR, SIX):
                await mode.change(of(world.route(1, world.pods[2])))
                assert set(rig.who(rig.client, world.vip(1), 80, 10)) == {world.pods[2]}

    run(body)


def _services(world: World) -> Iterator[Route]:
    fronts: dict[str, Any] = {"external_ips": (world.external,), "load_balancer_ips": (world.balancer,)}
    yield world.route(1, *world.pods, **fronts)
    yield world.route(2, *world.pods, external_local=True)
    yield world.route(3, *world.pods, internal_local=True)
    yield world.route(4)
    yield world.route(5, *world.pods, affinity_seconds=600)
    yield world.route(6, world.pods[0])
    yield world.route(7, *world.pods, protocol="UDP")
    nobody = "198.51.100.0/24" if world.family is Family.IPV4 else "fd00:198::/64"
    ranges = (world.balancer[:-1] + "8",)
    yield world.route(8, *world.pods, load_balancer_ips=ranges, source_ranges=(nobody,))


def _asked(rig: Rig, world: World, mode_name: str) -> None:
    everybody, relayed = set(world.pods), mode_name == "userspace"
    here, there = rig.pods[rigs.PODS[0]], rig.pods[rigs.PODS[2]]
    for where in (rig.client, rig.node, here):
        for address, port in ((world.vip(1), 80), (world.node, 30001), (world.external, 80), (world.balancer, 80)):
            assert set(rig.who(where, address, port, 30)) == everybody, (where, address)
        for address, port in ((world.vip(4), 80), (world.node, 30004)):
            assert rig.outcome(where, address, port) == "refused", (where, address)
        assert set(rig.who(where, world.vip(3), 80, 12)) == set(world.local), where
    assert rig.ask(rig.client, world.vip(1), 80)[1] != world.client
    seen = rig.ask(there, world.vip(6), 80)[1]
    assert (seen == world.pods[2]) is not relayed
    found = {rig.ask(rig.client, world.node, 30002) for _ in range(12)}
    assert {who for who, _ in found} == set(world.local)
    assert ({source for _, source in found} == {world.client}) is not relayed
    assert len(rig.who(rig.client, world.vip(5), 80, 10)) == 1
    assert rig.ask(here, world.vip(6), 80)[0] == rig.ask(here, world.node, 30006)[0] == world.pods[0], "itself"
    talk = rig.udp(rig.client, rigs.family_of(world.client))
    talk.sendto(b"?", (world.vip(7), 80))
    assert talk.recv(200).decode().split()[0] in everybody
    # A relay can only turn it away when it is there already.
    assert rig.outcome(rig.client, world.balancer[:-1] + "8", 80, BRIEF) == "silence"


@pytest.mark.parametrize("mode_name", IN_KERNEL)
def test_what_a_host_can_be_told(mode_name: str) -> None:
    async def body(rig: Rig) -> None:
        there, (other, web) = rig.pods[rigs.PODS[2]], (rigs.PODS[2], of(FOUR.route(1, rigs.PODS[0])))
        async with made(mode_name, rig, replace(FOUR.ground, masquerade_all=True)) as mode:
            await mode.rebuild(web)
            assert rig.ask(there, FOUR.vip(1), 80)[1] != other
        by_interface = replace(FOUR.ground, cluster_cidrs=(), pod_interface="v+")
        async with made(mode_name, rig, by_interface) as mode:
            await mode.rebuild(web)
            assert rig.ask(there, FOUR.vip(1), 80)[1] == other
            assert rig.ask(rig.client, FOUR.vip(1), 80)[1] != rigs.CLIENT_IP
        elsewhere = replace(FOUR.ground, node_ips=(), node_port_cidrs=("192.0.2.0/24",))
        async with made(mode_name, rig, elsewhere) as mode:
            await mode.rebuild(web)
            assert rig.outcome(rig.node, "192.0.2.2", 30001) == "answered"
            assert rig.outcome(rig.node, rigs.NODE_IP, 30001) == "refused"

    run(body)


@pytest.mark.parametrize("mode_name", [name for name in MODES if name == "iptables"])
def test_node_ports_of_the_loopback_address(mode_name: str) -> None:
    async def body(rig: Rig) -> None:
        async with made(mode_name, rig, FOUR.ground) as mode:
            await mode.rebuild(of(FOUR.route(1, rigs.PODS[0])))
            assert rig.outcome(rig.node, "127.0.0.1", 30001) == "answered"

    run(body)


@pytest.mark.parametrize("mode_name", IN_KERNEL)
def test_sctp_is_led_to_an_endpoint(mode_name: str) -> None:
    async def body(rig: Rig) -> None:
        async with made(mode_name, rig, FOUR.ground) as mode:
            await mode.rebuild(of(FOUR.route(1, rigs.PODS[0], protocol="SCTP")))
            for where, address, port in ((rig.client, FOUR.vip(1), 80), (rig.client, rigs.NODE_IP, 30001)):
                assert _arrives(rig, where, address, port), address
            await mode.change(of(FOUR.route(1, protocol="SCTP")))
            assert not _arrives(rig, rig.client, FOUR.vip(1), 80, BRIEF)

    run(body)


def _arrives(rig: Rig, where: Path, address: str, port: int, within: float = PATIENT) -> bool:
    """Whether the beginning of an association comes to port 8080 of the first pod."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 1)
    with (
        netns.open_socket(rig.pods[rigs.PODS[0]], socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP) as heard,
        netns.open_socket(where, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP) as raw,
    ):
        # A port of its own: the kernel remembers where an association went.
        sent = struct.pack("!HHII", next(_PORTS), port, 0, 0) + chunk
        raw.sendto(sent[:8] + struct.pack("<I", _crc32c(sent)) + sent[12:], (address, 0))
        heard.settimeout(within)
        with contextlib.suppress(OSError):
            packet = heard.recv(200)
            return struct.unpack("!H", packet[22:24]) == (8080,)
        return False


def _crc32c(data: bytes) -> int:
    """RFC 9260, appendix A."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
