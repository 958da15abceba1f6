"""Run in the guest by test_podnet: what is under way between pods of different nodes takes the short cut, on Debian's
own kernel."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.netlink import Netlink
from cni.node.flows import table_of
from cni.settings import Mode
from tests.cni import kernel
from tests.cni.nodes import Cluster, new_ground, until
from tests.cni.test_overlay import started

pytestmark = pytest.mark.vm
COUNTED = """
table inet whtcount {
  chain forward { type filter hook forward priority 50; ct state invalid drop; meta l4proto tcp counter; }
  chain vip { type nat hook prerouting priority dstnat; ip daddr 10.96.0.9 tcp dport 80 dnat ip to %s:8; }
}
"""
VIP = ("10.96.0.9", 80)


class World:
    """Three nodes and pods on the first two; `words` are run on the first node."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.node, self.other = cluster.nodes[:2]
        (self.pod, self.own), (self.far, result) = self.node.pods[0], self.other.pods[0]
        self.address = kernel.address_of(result)

    def shell(self, words: str, stdin: str = "") -> str:
        argv = ["nsenter", f"--net={self.node.path}", "sh", "-c", words]
        return asyncio.run(command.run(argv, stdin=stdin.encode(), timeout=60)).stdout.decode()

    def count(self) -> int:
        """TCP packets that the rules of the first node have seen on their way."""
        words = self.shell("nft list chain inet whtcount forward").split()
        return int(words[words.index("packets") + 1])

    def taken(self) -> list[str]:
        """Connections in the flow table."""
        return [line for line in self.shell("cat /proc/net/nf_conntrack").splitlines() if "[OFFLOAD]" in line]

    def links(self) -> set[str]:
        """Those of the flow table."""
        text = self.shell(f"nft list flowtable inet {table_of('cni0')} pods || true")
        return set(text.partition("devices = {")[2].partition("}")[0].replace('"', "").replace(",", " ").split())

    def pods(self) -> set[str]:
        """Links of the first node's pods."""
        with Netlink(self.node.path) as inside:
            (bridge,) = [link.index for link in inside.links() if link.name == "cni0"]
            return {link.name for link in inside.links() if link.master == bridge}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    command.run_blocking(["modprobe", "br_netfilter"], timeout=60)
    with new_ground(tmp_path_factory.mktemp("flows"), 4) as (_, nodes, pods), ThreadPoolExecutor(3) as threads:
        cluster = started(nodes, pods, threads, Mode.HOST_GW)
        try:
            one = World(cluster)
            one.shell("nft -f -", COUNTED % one.address)
            yield one
        finally:
            for name in list(cluster.running):
                cluster.stop(name)


@contextmanager
def talking(pod: Path, to: Path, address: tuple[str, int]) -> Iterator[Callable[..., None]]:
    """A connection on which so many bytes, or pieces of so many, go there and back, one by one."""
    with kernel.staying_echo(to, 8), netns.open_socket(pod, socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(60)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect(address)

        def say(times: int, size: int = 1) -> None:
            for _ in range(times):
                client.sendall(b"x" * size)
                left = size
                while left:
                    received = len(client.recv(left))
                    assert received
                    left -= received

        yield say


def passes_rules_by(world: World, say: Callable[..., None]) -> None:
    say(3)
    before = world.count()
    say(50)
    assert world.count() - before < 5


def test_every_link_by_which_pods_packets_come_is_in_the_table_and_those_that_go_are_not(world: World) -> None:
    assert len(world.pods()) == 2
    until(lambda: world.links() == {"cni0", "eth0", *world.pods()})
    with kernel.namespaces(1, "q") as (pod,):
        asyncio.run(world.node.add(pod))
        until(lambda: len(world.links()) == 5)
        asyncio.run(world.node.remove(pod))
        until(lambda: len(world.links()) == 4)
    world.node.pods.pop()


@pytest.mark.parametrize("target", ["pod", "VIP"])
def test_a_connection_takes_the_short_cut_until_it_ends(world: World, target: str) -> None:
    with talking(world.pod, world.far, VIP if target == "VIP" else (world.address, 8)) as say:
        passes_rules_by(world, say)
        assert len(world.taken()) == 1
    until(lambda: not world.taken())


def test_what_rests_longer_than_the_table_remembers_goes_on_and_takes_it_again(world: World) -> None:
    world.shell("sysctl -w net.netfilter.nf_flowtable_tcp_timeout=1")
    try:
        with talking(world.pod, world.far, VIP) as say:
            say(3)
            assert world.taken()
            until(lambda: not world.taken())
            time.sleep(2)
            passes_rules_by(world, say)
            assert world.taken()
    finally:
        world.shell("sysctl -w net.netfilter.nf_flowtable_tcp_timeout=30")


def test_what_ipvs_carries_does_not_take_it(world: World) -> None:
    """Of such a connection only answers are forwarded, and IPVS has to see them."""
    vip = ("10.96.0.77", 80)
    make = "ip link add whtvs up type dummy; ip addr add 10.96.0.77/32 dev whtvs; ipvsadm -A -t 10.96.0.77:80 -s rr"
    world.shell("modprobe -a ip_vs ip_vs_rr dummy; sysctl -w net.ipv4.vs.conntrack=1")
    world.shell(f"{make}; ipvsadm -a -t 10.96.0.77:80 -r {world.address}:8 -m")
    try:
        with talking(world.pod, world.far, vip) as say:
            say(50)
            assert not world.taken()
    finally:
        world.shell("ipvsadm -C; ip link delete whtvs")


def test_udp_and_pods_of_one_node_do_not_take_it(world: World) -> None:
    near, result = world.node.pods[1]
    with talking(world.pod, near, (kernel.address_of(result), 8)) as say:
        say(5)
        assert not world.taken()
    with (
        netns.open_socket(world.far, socket.AF_INET, socket.SOCK_DGRAM) as server,
        netns.open_socket(world.pod, socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("", 9))
        server.settimeout(60)
        for _ in range(5):
            client.sendto(b"x", (world.address, 9))
            server.sendto(*server.recvfrom(1))
            assert client.recv(1) == b"x"
    assert not world.taken()


def test_what_is_refused_later_is_refused_to_new_connections_and_goes_on_for_others(world: World) -> None:
    """As of policies: what is under way when one comes may go on."""
    with talking(world.pod, world.far, (world.address, 8)) as say:
        say(3)
        rule = "type filter hook forward priority 4; ct state established accept; drop;"
        world.shell("nft -f -", f"table inet whtlate {{\n chain c {{ {rule} }}\n}}")
        try:
            say(20)
            with pytest.raises(OSError):
                kernel.ask(world.pod, world.address, 8, timeout=2)
        finally:
            world.shell("nft delete table inet whtlate")


def test_after_a_strangers_flush_it_stands_again_and_nothing_was_lost(world: World) -> None:
    with talking(world.pod, world.far, (world.address, 8)) as say:
        say(3)
        links = world.links()
        world.shell("nft flush ruleset")
        say(20)
        until(lambda: world.links() == links)
        world.shell("nft -f -", COUNTED % world.address)
        passes_rules_by(world, say)


def test_a_pod_that_leaves_amid_a_connection_is_nothing_to_the_next_one(world: World) -> None:
    with kernel.namespaces(2, "q") as (first, second):
        seen = []
        for pod in (first, second):
            asyncio.run(world.other.add(pod))
            _, result = world.other.pods.pop()
            seen.append(kernel.address_of(result))
            with talking(world.pod, pod, (kernel.address_of(result), 8)) as say:
                say(10)
                assert world.taken()
                asyncio.run(world.other.remove(pod))
        assert len(set(seen)) == 2, "hostlocal goes on to the next"


def test_bounds_hold_for_what_takes_the_short_cut(world: World) -> None:
    """Queues are the links' own, rules or none."""
    with kernel.namespaces(1, "q") as (pod,):
        bounds = {"ingressRate": 2_000_000, "ingressBurst": 400_000, "egressRate": 2_000_000, "egressBurst": 400_000}
        world.node.add_here(pod, {"bandwidth": bounds})
        _, result = world.node.pods.pop()
        until(lambda: result["interfaces"][1]["name"] in world.links())
        with talking(pod, world.far, (world.address, 8)) as say:
            say(3)
            (taken,) = world.taken()
            assert kernel.address_of(result) in taken
            queue = f"tc -s qdisc show dev {result['interfaces'][1]['name']} root"
            before = _sent(world.shell(queue))
            say(50)
            assert _sent(world.shell(queue)) >= before + 50
            say(200, 1000)
        asyncio.run(world.node.remove(pod))


def _sent(text: str) -> int:
    """Packets through a queue."""
    words = text.split()
    assert "tbf" in words
    return int(words[words.index("bytes") + 1])


@pytest.mark.parametrize(("mode", "device"), [(Mode.VXLAN, "wherry-vxlan"), (Mode.WIREGUARD, "wherry-wg")])
def test_by_a_device_it_is_taken_too(world: World, mode: Mode, device: str) -> None:
    cluster = world.cluster
    for node in cluster.nodes:
        cluster.change(node, mode)
    until(partial(_goes_by, cluster, device))
    # Once nothing goes the way that was before the table is written anew, for the last time.
    until(lambda: world.links() == {"cni0", device, *world.pods()})
    with talking(world.pod, world.far, (world.address, 8)) as say:
        passes_rules_by(world, say)
        assert world.taken()


def _goes_by(cluster: Cluster, device: str) -> bool:
    for node in cluster.nodes:
        with Netlink(node.path) as inside:
            link = inside.link(device)
            if link is None or len([r for r in inside.routes() if r.link == link.index]) < 2:
                return False
    return True


def test_it_outlives_the_daemon_and_goes_where_it_is_not_wanted(world: World) -> None:
    """Last: it is not wanted from here on."""
    cluster, node = world.cluster, world.node
    cluster.stop(node.name)
    with talking(world.pod, world.far, (world.address, 8)) as say:
        passes_rules_by(world, say)
        node.settings = replace(node.settings, flow_table=False)
        cluster.start(node, node.settings.mode)
        until(lambda: not world.links())
        say(3)
        assert not world.taken()
    cluster.stop(node.name)
    cluster.start(node, Mode.NONE)
    until(lambda: table_of("cni0") not in world.shell("nft list tables"))
