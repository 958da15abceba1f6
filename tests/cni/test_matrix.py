"""Thirty pods on three nodes, in every mode and family: who reaches whom, as whom, with packets of which size.

Everything happens in this process: sockets opened in the namespaces of pods, nodes and the machine outside.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, Route, routes
from apimachinery.kit.netlink.routes import IFA_F_TENTATIVE, alone
from cni.portmap import rules
from cni.settings import Mode
from tests.cni import kernel
from tests.cni.nodes import Cluster, new_ground, until
from tests.waiting import SECONDS

pytestmark = pytest.mark.kernel
PODS = 30
PORT, HOST_PORT = 9, 8080
FAMILIES = {"IPv4": (4,), "IPv6": (6,), "both": (4, 6)}
OUTSIDE = {4: "10.99.0.4", 6: "fd99::4"}
KIND = {4: socket.AF_INET, 6: socket.AF_INET6}
# IP and UDP; what asks for whole packets only: (level, IP_MTU_DISCOVER or IPV6_MTU_DISCOVER), and IP_PMTUDISC_DO.
HEADERS = {4: 28, 6: 48}
WHOLE_ONLY = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
DO = 2
NARROW = 1300
# What goes from node to node alone has no business in the tunnel: networks that keep track of connections drop what
# follows when they have not seen an answer.
NODES_STAY_OUTSIDE = """
table inet whtoutside {
  chain in {
    type filter hook prerouting priority -400;
    iifname "wherry-vxlan" ip saddr 10.99.0.0/24 ip daddr 10.99.0.0/24 drop
    iifname "wherry-vxlan" ip6 saddr fd99::/64 ip6 daddr fd99::/64 drop
  }
}
"""
# Of pods' packets: the nodes' link carries 1500 bytes, and vxlan goes by the nodes' first address.
MTU = {("host-gw", 4): 1500, ("host-gw", 6): 1500, ("vxlan", 4): 1450, ("vxlan", 6): 1430}


@dataclass(frozen=True, eq=False)
class Place:
    """A pod, a node, or the machine outside (number 0). `addresses` by IP version."""

    kind: str
    number: int
    path: Path
    addresses: dict[int, str]

    def seen_by(self, other: Place, version: int) -> str:
        """The address by which the other sees this one: its own, but for pods that leave the cluster, and for a node
        towards its own pods, which it sends from the bridge."""
        if self.kind == "pod" and other.kind == "outside":
            return _node(self.number, version)
        if self.kind == "node" and other.kind == "pod" and self.number == other.number:
            return _bridge(self.number, version)
        return self.addresses[version]


def _node(number: int, version: int) -> str:
    return f"10.99.0.{number}" if version == 4 else f"fd99::{number}"


def _bridge(number: int, version: int) -> str:
    return f"10.244.{number}.1" if version == 4 else f"fd44:0:0:{number}::1"


@dataclass(frozen=True)
class World:
    mode: Mode
    versions: tuple[int, ...]
    pods: list[Place]
    nodes: list[Place]
    outside: Place

    @property
    def mtu(self) -> int:
        return MTU[self.mode.value, self.versions[0]]


@contextlib.contextmanager
def running(tmp_path: Path, mode: Mode, versions: tuple[int, ...]) -> Iterator[World]:
    with new_ground(tmp_path, PODS, versions) as (outside, nodes, pods), ThreadPoolExecutor(3) as threads:
        cluster = Cluster(nodes, threads)
        try:
            cluster.start_all(mode)
            for node in nodes:
                until(partial(_goes_by, mode, cluster, node.name))
                netns.call(node.path, partial(subprocess.run, ["nft", NODES_STAY_OUTSIDE], timeout=10, check=True))
            # The first pod of each node has a host port.
            for place, pod in enumerate(pods):
                ports = [{"hostPort": HOST_PORT, "containerPort": 7, "protocol": "tcp"}] if place < 3 else []
                nodes[place % 3].add_here(pod, {"portMappings": ports})
            everyone = [_pod(node.number, pod, result, versions) for node in nodes for pod, result in node.pods]
            places = [Place("node", n.number, n.path, {v: _node(n.number, v) for v in versions}) for n in nodes]
            yield World(mode, versions, everyone, places, Place("outside", 0, outside, OUTSIDE))
        finally:
            for name in list(cluster.running):
                cluster.stop(name)
            for node in nodes:
                rules.of(node.settings.run_dir).close()


def _pod(number: int, path: Path, result: dict[str, Any], versions: tuple[int, ...]) -> Place:
    assert len(result["ips"]) == len(versions)
    return Place("pod", number, path, {v: kernel.address_of(result, v) for v in versions})


def _goes_by(mode: Mode, cluster: Cluster, name: str) -> bool:
    gateways = {gateway for gateway in cluster.running[name].our_routes().values() if gateway != "unreachable"}
    return mode is Mode.HOST_GW or not any(g.startswith(("10.99.", "fd99:")) for g in gateways)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", [Mode.HOST_GW, Mode.VXLAN], ids=["host-gw", "vxlan"])
def test_everybody_is_reached_as_whom_and_with_what_should_be(mode: Mode, family: str, tmp_path: Path) -> None:
    with running(tmp_path, mode, FAMILIES[family]) as world:
        for node in world.nodes:
            # It looks for no duplicates, and can ask as soon as the kernel has come to it.
            assert netns.read_sysctl(node.path, "net.ipv6.conf.cni0.accept_dad") == "0"
            until(partial(_can_ask, node))
        for version in world.versions:
            everybody_hears_everybody(world, version)
            outside_answers(world, version)
            packets_of_every_size(world, version)
            streams_between_nodes(world, version)
            host_ports_from_every_side(world, version)
            a_narrow_way_out(world, version)


def _can_ask(node: Place) -> bool:
    """Whether the bridge has no address left that may not be used yet, by which it would ask for pods' MACs."""
    with Netlink(node.path) as opened:
        present = opened.addresses(opened.index("cni0"))
    return not any(address.flags & IFA_F_TENTATIVE for address in present)


@contextlib.contextmanager
def datagrams(places: Iterable[Place], version: int) -> Iterator[dict[Place, socket.socket]]:
    """A socket on PORT in each place."""
    with contextlib.ExitStack() as stack:
        found = {}
        for place in places:
            found[place] = stack.enter_context(netns.open_socket(place.path, KIND[version], socket.SOCK_DGRAM))
            found[place].bind(("", PORT))
            found[place].settimeout(SECONDS)
        yield found


def everybody_hears_everybody(world: World, version: int) -> None:
    """Pods, nodes and the machine outside; each with the address it should have. Nobody outside is led to pods."""
    everyone, again = [*world.pods, *world.nodes], 0
    with datagrams([*everyone, world.outside], version) as sockets:
        for number, sender in enumerate(everyone):
            heard, rounds = _heard(sockets, sender, number, version)
            assert heard == {receiver: sender.seen_by(receiver, version) for receiver in sockets}, sender
            again += rounds - 1
    # The kernel has one queue of a thousand packets for each processor, and drops what others leave no room for.
    assert again <= len(everyone) // 10, "packets are lost"


def _heard(
    sockets: dict[Place, socket.socket], sender: Place, number: int, version: int
) -> tuple[dict[Place, str], int]:
    """By which address each place hears of the sender, and in how many rounds: silence is asked once more. All share
    the time of a round, so that silence everywhere is told as what it is, and not as a test without an end."""
    heard: dict[Place, str] = {}
    rounds = 0
    while len(heard) < len(sockets) and rounds < 9:
        rounds += 1
        missing = [place for place in sockets if place not in heard]
        for receiver in missing:
            sockets[sender].sendto(bytes([number]), (receiver.addresses[version], PORT))
        deadline = time.monotonic() + SECONDS / 10
        for receiver in missing:
            with contextlib.suppress(TimeoutError):
                heard[receiver] = _next_of(sockets[receiver], number, deadline)
    return heard, rounds


def _next_of(handle: socket.socket, number: int, deadline: float) -> str:
    """Who sent this number; what came late of earlier ones is passed over. Raises TimeoutError: what has come by the
    deadline is read after it, too."""
    while True:
        handle.settimeout(max(deadline - time.monotonic(), 0.001))
        data, sender = handle.recvfrom(100)
        if data[0] == number:
            return str(sender[0])


def outside_answers(world: World, version: int) -> None:
    """What leaves the cluster is translated on its way out, and its answer on the way back."""
    with datagrams([*world.pods, world.outside], version) as sockets:
        for pod in world.pods:
            sockets[pod].sendto(b"?", (OUTSIDE[version], PORT))
        for _ in world.pods:
            _, sender = sockets[world.outside].recvfrom(100)
            sockets[world.outside].sendto(sender[0].encode(), sender)
        for pod in world.pods:
            answer, sender = sockets[pod].recvfrom(100)
            assert (answer.decode(), sender[0]) == (pod.seen_by(world.outside, version), OUTSIDE[version])


def packets_of_every_size(world: World, version: int) -> None:
    """The largest whole one and one in many fragments, on a node and between nodes; a larger one is refused at once."""
    first, beside, far = world.pods[0], world.pods[1], world.pods[-1]
    largest = world.mtu - HEADERS[version]
    with datagrams([first, beside, far], version) as sockets:
        for receiver in (beside, far):
            for size in (largest, 60_000):
                sockets[first].sendto(b"x" * size, (receiver.addresses[version], PORT))
                assert len(sockets[receiver].recv(65_535)) == size
        sockets[first].setsockopt(*WHOLE_ONLY[version], DO)
        sockets[first].sendto(b"x" * largest, (far.addresses[version], PORT))
        assert len(sockets[far].recv(65_535)) == largest
        with pytest.raises(OSError, match="too long"):
            sockets[first].sendto(b"x" * (largest + 1), (far.addresses[version], PORT))


def streams_between_nodes(world: World, version: int) -> None:
    """Segments larger than any packet are cut and put together by devices on the way: not a byte may change."""
    for sender, receiver in ((world.pods[0], world.pods[-1]), (world.nodes[1], world.pods[0])):
        stream(sender, receiver, receiver.addresses[version], version)
    stream(world.pods[0], world.outside, OUTSIDE[version], version)


def stream(sender: Place, receiver: Place, address: str, version: int) -> None:
    data = os.urandom(1 << 20)
    listening = netns.open_socket(receiver.path, KIND[version], socket.SOCK_STREAM)
    with listening, netns.open_socket(sender.path, KIND[version], socket.SOCK_STREAM) as client:
        listening.bind(("", 0))
        listening.listen(1)
        client.settimeout(20)
        client.connect((address, listening.getsockname()[1]))
        link, _ = listening.accept()
        with link:
            link.settimeout(20)
            sending = threading.Thread(target=client.sendall, args=(data,))
            sending.start()
            got = bytearray()
            while len(got) < len(data):
                piece = link.recv(1 << 16)
                assert piece, "the stream ends early"
                got += piece
            sending.join(20)
    assert got == data


def host_ports_from_every_side(world: World, version: int) -> None:
    """Of a pod on each node: from outside, nodes, pods elsewhere and beside it, and from itself."""
    for node in world.nodes:
        own = [pod for pod in world.pods if pod.number == node.number]
        bridge = _bridge(node.number, version)
        with kernel.echo(own[0].path):
            for client in (world.outside, *world.nodes, *(p for p in world.pods if p not in own)):
                seen = kernel.ask(client.path, node.addresses[version], HOST_PORT)
                assert seen == client.addresses[version], client
            for client in own:
                assert kernel.ask(client.path, node.addresses[version], HOST_PORT) == bridge, client
            if version == 4:
                assert kernel.ask(node.path, "127.0.0.1", HOST_PORT) == bridge


def a_narrow_way_out(world: World, version: int) -> None:
    """Behind the node packets have to be smaller: the pod is told, and a stream goes on."""
    pod, node = world.pods[0], world.nodes[0]
    with Netlink(node.path) as opened:
        target = alone(ip_address(OUTSIDE[version]))
        opened.do(routes.replace_route(Route(target, link=opened.index("eth0"), mtu=NARROW)))
    largest = NARROW - HEADERS[version]
    with datagrams([pod, world.outside], version) as sockets:
        sockets[pod].setsockopt(*WHOLE_ONLY[version], DO)
        until(partial(_is_told, sockets[pod], largest + 1, OUTSIDE[version]))
        sockets[pod].sendto(b"x" * largest, (OUTSIDE[version], PORT))
        assert len(sockets[world.outside].recv(65_535)) == largest
    stream(pod, world.outside, OUTSIDE[version], version)


def _is_told(handle: socket.socket, size: int, address: str) -> bool:
    """Whether the pod knows that a packet of this size is too large; sends one to learn it."""
    try:
        handle.sendto(b"x" * size, (address, PORT))
    except OSError as problem:
        return problem.errno == errno.EMSGSIZE
    return False
