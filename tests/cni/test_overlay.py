"""Pods on nodes between which only the nodes' own packets get through: everything goes by vxlan, nothing else."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from apimachinery.kit import command, conntrack, netns
from apimachinery.kit.netlink import FarEnd, Netlink, Tunnel, links, routes, rules, vxlan
from cni import install
from cni.node import overlay, plan
from cni.node.masquerade import ruleset
from cni.node.model import ANNOTATION, NodeNetwork, extract
from cni.settings import Mode, Vxlan
from tests.cni import kernel
from tests.cni.nodes import Cluster, Node, all_pairs, new_ground, until
from tests.cni.proxied import go_and_come_back_one_way
from tests.cni.test_healing import Talk, no_way, talking

DEVICE = Vxlan().device
TUNNEL = Tunnel(119, 4789, ip_address("10.99.0.1"))
# What a network between machines does that checks whose addresses they send with.
STRICT = """
table inet whtstrict {
  chain out {
    type filter hook postrouting priority 300;
    oifname "eth0" ip saddr 10.244.0.0/16 drop
    oifname "eth0" ip daddr 10.244.0.0/16 drop
    oifname "eth0" ip6 saddr fd44::/48 drop
    oifname "eth0" ip6 daddr fd44::/48 drop
  }
}
"""


def node_at(number: int, tunnel: Tunnel | None = TUNNEL) -> NodeNetwork:
    cidrs = tuple(map(ip_network, (f"10.244.{number}.0/24", f"fd44:0:0:{number}::/64")))
    addresses = tuple(map(ip_address, (f"10.99.0.{number}", f"fd99::{number}")))
    found = NodeNetwork(f"node{number}", cidrs, addresses)
    return replace(found, vni=tunnel.number, port=tunnel.port, mac=overlay.mac_of(found.name)) if tunnel else found


def test_a_node_is_sent_encapsulated_packets_when_it_says_that_it_takes_them() -> None:
    own, takes, silent, other = (
        node_at(1),
        node_at(2),
        node_at(3, None),
        node_at(4, Tunnel(7, 4789, ip_address("10.99.0.1"))),
    )
    through = partial(overlay.route_through, tunnel=TUNNEL, link=9, sources=own.addresses)
    found = {
        r.destination: (str(r.gateway), r.link, str(r.source))
        for r in plan.wanted("node1", [own, takes, silent, other], (), through)
    }
    assert found[takes.cidrs[0]] == ("10.244.2.0", 9, "10.99.0.1")
    assert found[takes.cidrs[1]] == (str(overlay.gateway(takes, 6)), 9, "fd99::1")
    assert str(overlay.gateway(takes, 6)).startswith("fe80::")
    assert found[silent.cidrs[0]] == ("10.99.0.3", 0, "None"), "and directly before, or with other settings"
    assert found[other.cidrs[0]] == ("10.99.0.4", 0, "None")
    entries = overlay.entries(own, [own, takes, silent, other], TUNNEL, 9)
    assert entries.far_ends == (FarEnd(takes.mac, ip_address("10.99.0.2")),)
    assert [a for a, _ in entries.neighbours] == [overlay.gateway(takes, 4), overlay.gateway(takes, 6)]
    assert [str(r.destination) for r in entries.routes] == ["10.99.0.2/32", "fd99::2/128"]
    asked = overlay.steering(own, entries.routes).rules
    assert [(r.source, r.table, bool(r.mark)) for r in sorted(asked, key=lambda r: r.priority)] == [
        *((cidr, 254, True) for cidr in own.cidrs),
        *((cidr, overlay.TABLE, False) for cidr in own.cidrs),
    ]
    assert overlay.entries(own, [own, silent], TUNNEL, 9) == overlay.Entries()


def test_what_a_node_announces_is_read_again_and_nonsense_is_nothing() -> None:
    def read(text: str) -> NodeNetwork:
        return extract({"metadata": {"name": "b", "annotations": {ANNOTATION: text}}})

    found = read(overlay.announcement("b", TUNNEL))
    assert (found.vni, found.port, found.mac) == (119, 4789, overlay.mac_of("b"))
    assert overlay.mac_of("a") != overlay.mac_of("b") and int(overlay.mac_of("a")[:2], 16) & 3 == 2, "local, one card"
    for text in (
        "",
        "{}",
        "[]",
        "7",
        "{",
        '{"vni": 1, "port": 2, "mac": "zz"}',
        '{"vni": "x", "port": 1, "mac": "0a"}',
    ):
        assert (read(text).vni, read(text).port, read(text).mac) == (0, 0, ""), text


def test_the_mtu_is_what_fits_through_the_link_between_the_nodes() -> None:
    assert overlay.mtu(1500, None) == 1500
    assert overlay.mtu(1500, TUNNEL) == 1450
    assert overlay.mtu(9001, replace(TUNNEL, local=ip_address("fd99::1"))) == 8931


def test_only_nodes_may_send_encapsulated_packets() -> None:
    nodes = [ip_address("10.9.0.1"), ip_address("fd99::2")]
    text = ruleset("cni0", [], [], nodes, 4789, here=nodes[:1])
    chain = text.partition("priority raw;\n")[2].partition("}")[0]
    assert [line.strip() for line in chain.splitlines() if line.strip()] == [
        "meta l4proto != udp accept",
        "th dport != 4789 accept",
        "ip daddr 10.9.0.1 ip saddr @nodes4 notrack accept",
        "fib daddr type != local accept",
        "ip saddr @nodes4 notrack accept",
        "ip6 saddr @nodes6 notrack accept",
        "drop",
    ]
    assert "set nodes4 { type ipv4_addr; size 1; elements = { 10.9.0.1 }; }" in text
    assert "set nodes6 { type ipv6_addr; size 1; elements = { fd99::2 }; }" in text
    assert "masquerade\n" not in text
    assert "notrack" not in ruleset("cni0", [ip_network("10.244.1.0/24")], [], [])


def test_a_packet_that_nobody_translates_is_asked_little() -> None:
    """Every packet of a node comes by `direct`: of one that is not tracked, as those of the tunnel, or not translated,
    the connection's state and the mark say that there is nothing to do."""
    text = ruleset("cni0", [], [], [], 4789)
    chain = text.partition("chain direct {")[2].partition("}")[0]
    _, *rules = (line.strip() for line in chain.splitlines() if line.strip())
    assert [rule.partition(" != ")[0] for rule in rules] == [
        "ct status dnat,snat jump translated",
        "meta mark & 0x4000",
    ]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[tuple[Path, list[Node], list[Path]]]:
    with new_ground(tmp_path) as made:
        yield made


def started(nodes: list[Node], pods: list[Path], threads: ThreadPoolExecutor, mode: Mode) -> Cluster:
    cluster = Cluster(nodes, threads)
    cluster.start_all(mode)
    for place, pod in enumerate(pods):
        asyncio.run(nodes[place % 3].add(pod))
    return cluster


@pytest.fixture
def tracked(tmp_path: Path) -> Iterator[tuple[Path, list[Node], list[Path]]]:
    with new_ground(tmp_path, tracking=True) as made:
        yield made


@pytest.mark.kernel
def test_pods_and_nodes_reach_each_other_by_vxlan_alone(tracked: tuple[Path, list[Node], list[Path]]) -> None:
    outside, nodes, pods = tracked
    for node in nodes:
        asyncio.run(command.run(["nsenter", f"--net={node.path}", "nft", STRICT], timeout=60))
    with ThreadPoolExecutor(3) as threads:
        cluster = started(nodes, pods, threads, Mode.VXLAN)
        try:
            gateways = {str(overlay.gateway(node_at(n), v)) for n in (2, 3) for v in (4, 6)} | {"unreachable"}
            until(lambda: set(cluster.running["node1"].our_routes().values()) == gateways)
            for node in nodes[1:]:
                until(partial(_has_gateway, cluster, node.name, "10.244.1.0"))
            all_pairs(nodes)
            _nodes_and_pods(nodes)
            go_and_come_back_one_way(nodes, outside)
            _large_packets(nodes)
            _no_tracking(nodes)
            _only_nodes_send(outside, nodes)
            _mended(cluster)
            _nodes_come_go_and_move(cluster)
        finally:
            for name in list(cluster.running):
                cluster.stop(name)


def _nodes_and_pods(nodes: list[Node]) -> None:
    """Nobody's address is translated, in either direction, though no pod's address may show between the nodes."""
    pod, result = nodes[0].pods[0]
    for version, own, far in ((4, "10.99.0.2", "10.99.0.2"), (6, "fd99::2", "fd99::2")):
        with kernel.echo(nodes[1].path):
            assert kernel.ask(pod, far) == kernel.address_of(result, version)
        with kernel.echo(pod):
            assert kernel.ask(nodes[1].path, kernel.address_of(result, version)) == own


def _large_packets(nodes: list[Node]) -> None:
    (pod, _), (far, result) = nodes[0].pods[0], nodes[1].pods[0]
    with Netlink(pod) as inside, Netlink(nodes[0].path) as node:
        mtus = [link.mtu for link in (inside.link("eth0"), node.link("cni0"), node.link(DEVICE)) if link]
    assert mtus == [1450, 1450, 1450]
    with netns.open_socket(far, socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.settimeout(60)
        server.bind(("", 9))
        with netns.open_socket(pod, socket.AF_INET, socket.SOCK_DGRAM) as client:
            for size in (1422, 60_000):  # the largest whole one, and one in many fragments
                client.sendto(b"x" * size, (kernel.address_of(result), 9))
                assert len(server.recv(65_535)) == size
            client.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
            with pytest.raises(OSError, match="too long"):
                client.sendto(b"x" * 1423, (kernel.address_of(result), 9))


def _no_tracking(nodes: list[Node]) -> None:
    def flows() -> list[conntrack.Flow]:
        with conntrack.Tracking(socket.AF_INET) as tracking:
            return list(tracking.flows())

    found = [flow for node in nodes for flow in netns.call(node.path, flows)]
    assert found and not [flow for flow in found if flow.destination[1] == 4789]


def _encapsulated(mac: str, source: str, target: str, port: int) -> bytes:
    """A UDP datagram `hello` in an Ethernet frame in VXLAN."""
    datagram = struct.pack("!HHHH", 1, port, 8 + 5, 0) + b"hello"
    addresses = ip_address(source).packed + ip_address(target).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + addresses
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
    frame = bytes.fromhex(mac.replace(":", "")) + b"\x02\0\0\0\0\1" + b"\x08\0" + head + datagram
    return struct.pack("!BxxxI", 8, 119 << 8) + frame


def _only_nodes_send(outside: Path, nodes: list[Node]) -> None:
    pod, result = nodes[0].pods[0]
    packet = _encapsulated(overlay.mac_of("node1"), "10.244.2.200", kernel.address_of(result), 10)
    with netns.open_socket(pod, socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.settimeout(60)
        server.bind(("", 10))
        other, _ = nodes[1].pods[0]
        for place in (outside, other, nodes[1].path):
            with netns.open_socket(place, socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(
                    packet.replace(b"hello", b"node2" if place == nodes[1].path else b"thief"), ("10.99.0.1", 4789)
                )
        # The node's own, sent last, is the first to come in.
        assert server.recv(100) == b"node2"


def _mended(cluster: Cluster) -> None:
    """Whatever is taken away of it comes back, and a connection survives. New ones may be refused meanwhile: routes
    go with the device, and with its address."""
    (pod, _), (far, result) = cluster.nodes[0].pods[0], cluster.nodes[1].pods[0]
    gone = ip_address("10.244.2.0")
    with talking(pod, far, kernel.address_of(result)) as talk, Netlink(cluster.nodes[0].path) as node:

        def device() -> int:
            found = node.link(DEVICE)
            return found.index if found and found.up and found.mac == overlay.mac_of("node1") else 0

        def whole() -> bool:
            return (
                device() > 0
                and {e.address for e in node.far_ends(device())} == {ip_address("10.99.0.2"), ip_address("10.99.0.3")}
                and len([n for n in node.neighbours() if n.link == device() and n.state & routes.NUD_PERMANENT]) == 4
                and [str(a.interface) for a in node.addresses(device()) if a.interface.version == 4]
                == ["10.244.1.0/32"]
                and len(node.rules(plan.PROTOCOL)) == 4
                and len(node.routes(table=overlay.TABLE)) == 4
                and len(cluster.running["node1"].our_routes()) == 6
            )

        assert whole()
        first = device()
        end = next(e for e in node.far_ends(first) if e.address == ip_address("10.99.0.2"))
        for damage in (
            vxlan.delete_far_end(first, end),
            routes.delete_neighbour(first, gone),
            routes.delete_address(first, ip_interface("10.244.1.0/32")),
            rules.delete(node.rules(plan.PROTOCOL)[0]),
            routes.delete_route(node.routes(4, table=overlay.TABLE)[0]),
            links.change(first, mac="02:00:00:00:00:09"),
            links.change(first, up=False),
            links.delete(first),
        ):
            node.do(damage)
            until(whole)
            until(partial(_goes_on, talk, talk.echoed))
    assert not talk.broken
    assert all(map(no_way, talk.failures)), talk.failures


def _nodes_come_go_and_move(cluster: Cluster) -> None:
    one = cluster.running["node1"]
    text = overlay.announcement("node9", TUNNEL)
    with Netlink(cluster.nodes[0].path) as node:
        index = node.index(DEVICE)

        def ends() -> dict[str, str]:
            return {end.mac: str(end.address) for end in node.far_ends(index)}

        mac = overlay.mac_of("node9")
        one.tell(lambda i: i.put("node9", 9))
        until(lambda: one.our_routes().get("10.244.9.0/24") == "10.99.0.9")
        one.tell(lambda i: i.annotate("node9", {ANNOTATION: text}))
        until(lambda: one.our_routes().get("10.244.9.0/24") == "10.244.9.0" and ends().get(mac) == "10.99.0.9")
        one.tell(lambda i: i.put("node9", 9, last=19))
        until(lambda: ends().get(mac) == "10.99.0.19")
        one.tell(lambda i: i.remove("node9"))
        until(lambda: "10.244.9.0/24" not in one.our_routes() and mac not in ends())
        until(lambda: not [n for n in node.neighbours() if str(n.address).startswith("10.244.9.")])


@pytest.mark.kernel
def test_the_way_changes_under_traffic_and_back(ground: tuple[Path, list[Node], list[Path]]) -> None:
    _, nodes, pods = ground
    with ThreadPoolExecutor(4) as threads:
        cluster = started(nodes, pods, threads, Mode.HOST_GW)
        try:
            _change_under_traffic(cluster)
            for node in nodes:
                until(partial(_nothing_left, node))
            all_pairs(nodes)
            cluster.stop("node1")
            left = cluster.start(nodes[0], Mode.NONE)
            until(lambda: not left.our_routes() and not (nodes[0].settings.conf_dir / install.CONFLIST).exists())
        finally:
            for name in list(cluster.running):
                cluster.stop(name)


def _change_under_traffic(cluster: Cluster) -> None:
    nodes = cluster.nodes
    (pod, first), (far, result), (third, last) = (node.pods[0] for node in nodes)
    other, own = nodes[0].pods[1]
    with (
        talking(pod, far, kernel.address_of(result)) as there,
        talking(third, other, kernel.address_of(own)) as back,
    ):
        for mode, size, gateway in ((Mode.VXLAN, 1450, "10.244.2.0"), (Mode.HOST_GW, 1500, "10.99.0.2")):
            for node in nodes:
                cluster.change(node, mode)
                until(partial(_goes_on, there, there.echoed))
                until(partial(_goes_on, back, back.echoed))
                if mode is Mode.HOST_GW and node is nodes[0]:
                    with Netlink(node.path) as inside:
                        assert inside.link(DEVICE), "it stays while others may send to it"
            until(partial(_has_mtu, nodes[0], size))
            until(partial(_has_gateway, cluster, "node1", gateway))
    assert not (there.broken or back.broken or there.failures or back.failures)
    assert (there.seen, back.seen) == ({kernel.address_of(first)}, {kernel.address_of(last)})


def _goes_on(talk: Talk, echoed: int) -> bool:
    return talk.echoed > echoed + 3


def _has_gateway(cluster: Cluster, name: str, gateway: str) -> bool:
    return gateway in cluster.running[name].our_routes().values()


def _has_mtu(node: Node, size: int) -> bool:
    return _mtus(node) == {size}


def _nothing_left(node: Node) -> bool:
    with Netlink(node.path) as inside:
        return not (inside.link(DEVICE) or inside.rules(plan.PROTOCOL) or inside.routes(table=overlay.TABLE))


def _mtus(node: Node) -> set[int]:
    """Of the bridge and both ends of all pods' links."""
    found = set()
    with Netlink(node.path) as outer:
        found |= {link.mtu for link in outer.links() if link.kind in ("veth", "bridge") and link.name != "eth0"}
    for pod, _ in node.pods:
        with Netlink(pod) as inside:
            found |= {link.mtu for link in inside.links() if link.name == "eth0"}
    return found
