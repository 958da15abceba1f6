"""Run in the guest by test_podnet: pods' packets encrypted between nodes, on Debian's own kernel."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.netlink import Netlink, links
from apimachinery.kit.wireguard import Wireguard
from cni.node import overlay, plan
from cni.node.bywireguard import KEY_FILE
from cni.settings import Mode, WireguardSettings
from tests.cni import kernel
from tests.cni.nodes import Cluster, Node, all_pairs, new_ground, until
from tests.cni.proxied import go_and_come_back_one_way
from tests.cni.test_healing import talking
from tests.cni.test_overlay import STRICT, _goes_on, _has_mtu, _nodes_and_pods, started

pytestmark = pytest.mark.vm
DEVICE = WireguardSettings().device


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[tuple[Path, list[Node], list[Path]]]:
    with new_ground(tmp_path, 4) as made:
        yield made


def joined(cluster: Cluster, name: str) -> bool:
    """Whether every other node's pods are reached by the device."""
    with Netlink(cluster.running[name].node.path) as node:
        device = node.link(DEVICE)
        found = [r for r in node.routes(protocol=plan.PROTOCOL) if device and r.link == device.index]
    return len(found) == 4


def test_pods_and_nodes_reach_each_other_encrypted(ground: tuple[Path, list[Node], list[Path]]) -> None:
    outside, nodes, pods = ground
    for node in nodes:
        netns.call(node.path, partial(command.run_blocking, ["nft", STRICT], timeout=60))
    with ThreadPoolExecutor(3) as threads:
        cluster = started(nodes, pods, threads, Mode.WIREGUARD)
        try:
            for node in nodes:
                until(partial(joined, cluster, node.name))
            all_pairs(nodes)
            _nodes_and_pods(nodes)
            go_and_come_back_one_way(nodes, outside)
            until(partial(_has_mtu, nodes[0], 1440))
            key = nodes[0].settings.run_dir / KEY_FILE
            assert key.stat().st_mode & 0o777 == 0o600
            _nothing_in_the_clear(nodes)
            _mended(cluster)
        finally:
            for name in list(cluster.running):
                cluster.stop(name)


def _nothing_in_the_clear(nodes: list[Node]) -> None:
    (pod, _), (far, result) = nodes[0].pods[0], nodes[1].pods[0]
    word = b"whether anybody can read this"
    with (
        netns.open_socket(nodes[1].path, socket.AF_PACKET, socket.SOCK_RAW, 0x0300) as wire,
        netns.open_socket(far, socket.AF_INET, socket.SOCK_DGRAM) as server,
        netns.open_socket(pod, socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        wire.bind(("eth0", 3))
        wire.settimeout(1)
        server.bind(("", 9))
        server.settimeout(60)
        client.sendto(word, (kernel.address_of(result), 9))
        assert server.recv(100) == word
        seen: list[bytes] = []
        with pytest.raises(TimeoutError):
            while len(seen) < 1000:
                seen.append(wire.recv(2000))
    assert seen and not [frame for frame in seen if word in frame]


def _mended(cluster: Cluster) -> None:
    """The device may go, or a peer's annotation: both come back, and a connection survives."""
    (pod, _), (far, result) = cluster.nodes[0].pods[0], cluster.nodes[1].pods[0]
    with talking(pod, far, kernel.address_of(result)) as talk, Netlink(cluster.nodes[0].path) as node:
        before = _peers(cluster.nodes[0])
        node.do(links.delete(DEVICE))
        until(partial(joined, cluster, "node1"))
        assert _peers(cluster.nodes[0]) == before
        until(partial(_goes_on, talk, talk.echoed))
    assert not talk.broken


def _peers(node: Node) -> set[str]:
    with Netlink(node.path) as inside, Wireguard(node.path) as control:
        return {peer.key for peer in control.device(inside.index(DEVICE)).peers}


def test_the_way_changes_under_traffic_and_back(ground: tuple[Path, list[Node], list[Path]]) -> None:
    _, nodes, pods = ground
    with ThreadPoolExecutor(4) as threads:
        cluster = started(nodes, pods, threads, Mode.HOST_GW)
        try:
            (pod, first), (far, result) = nodes[0].pods[0], nodes[1].pods[0]
            with talking(pod, far, kernel.address_of(result)) as talk:
                for mode, size in ((Mode.WIREGUARD, 1440), (Mode.HOST_GW, 1500)):
                    for node in nodes:
                        cluster.change(node, mode)
                        until(partial(_goes_on, talk, talk.echoed))
                    if mode is Mode.WIREGUARD:
                        for node in nodes:
                            until(partial(joined, cluster, node.name))
                    until(partial(_has_mtu, nodes[0], size))
                    until(partial(_goes_on, talk, talk.echoed))
            assert not (talk.broken or talk.failures), talk.failures
            assert talk.seen == {kernel.address_of(first)}
            for node in nodes:
                until(partial(_nothing_left, node))
        finally:
            for name in list(cluster.running):
                cluster.stop(name)


def _nothing_left(node: Node) -> bool:
    with Netlink(node.path) as inside:
        return not (inside.link(DEVICE) or inside.rules(plan.PROTOCOL) or inside.routes(table=overlay.TABLE))
