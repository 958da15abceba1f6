"""WireGuard between nodes: who is whose peer, and what is packed. What a kernel does that has it: tests/vm."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import cast

import pytest

from apimachinery.kit import wireguard as kit
from apimachinery.kit.netlink import Netlink, wire
from apimachinery.kit.wireguard import Device, Peer, Wireguard
from cni.node import overlay, plan, wireguard
from cni.node.between import Between
from cni.node.bywireguard import KEY_FILE, ByWireguard, key_in
from cni.node.masquerade import ruleset
from cni.node.model import KEY_ANNOTATION, NodeNetwork, extract
from cni.node.overlay import TABLE, Steering, steering
from cni.settings import Mode, Settings, WireguardSettings
from netproxy.names import MASQUERADE_MARK
from tests.cni import kernel


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def node_at(number: int) -> NodeNetwork:
    cidrs = tuple(map(ip_network, (f"10.244.{number}.0/24", f"fd44:0:0:{number}::/64")))
    addresses = tuple(map(ip_address, (f"10.99.0.{number}", f"fd99::{number}")))
    return NodeNetwork(f"node{number}", cidrs, addresses, key=key(number), key_port=51820)


def test_who_has_announced_a_key_is_a_peer_with_its_pods_and_its_own_addresses() -> None:
    own, one, silent = node_at(1), node_at(2), replace(node_at(3), key="")
    thief, six = replace(node_at(4), key=key(2)), replace(node_at(5), addresses=(ip_address("fd99::5"),))
    found = wireguard.peers(own, [six, thief, silent, one, own])
    inside = {*one.cidrs, ip_network("10.99.0.2/32"), ip_network("fd99::2/128")}
    assert found == {"node2": Peer(key(2), (ip_address("10.99.0.2"), 51820), frozenset(inside), wireguard.KEEPALIVE)}
    assert wireguard.peers(own, [replace(node_at(2), key=own.key)]) == {}, "our own key is nobody else's"


def test_routes_go_by_the_device_and_what_pods_send_to_nodes_too() -> None:
    own = node_at(1)
    route = wireguard.route_through(ip_network("10.244.2.0/24"), 9, own.addresses)
    assert (route.gateway, route.link, str(route.source), route.protocol) == (None, 9, "10.99.0.1", plan.PROTOCOL)
    found = steering(own, wireguard.routes_to_nodes([node_at(2)], 9))
    assert [(str(r.destination), r.link, r.table) for r in found.routes] == [
        ("10.99.0.2/32", 9, TABLE),
        ("fd99::2/128", 9, TABLE),
    ]
    assert len(found.rules) == 4 and steering(own, ()) == Steering() == Steering() | Steering()
    assert len((found | found).rules) == 4, "asked once, whoever needs it"


def test_the_mtu_is_what_fits_when_it_is_encrypted() -> None:
    assert wireguard.mtu(1500, ip_address("10.0.0.1")) == 1440
    assert wireguard.mtu(1500, ip_address("fd00::1")) == 1420


def test_what_a_node_announces_is_read_again_and_nonsense_is_nothing() -> None:
    def read(text: str) -> tuple[str, int]:
        found = extract({"metadata": {"name": "b", "annotations": {KEY_ANNOTATION: text}}})
        assert found.announced == ((KEY_ANNOTATION, text),)
        return found.key, found.key_port

    assert read(wireguard.announcement(key(7), 51820)) == (key(7), 51820)
    nonsense: list[object] = [
        {},
        [],
        7,
        {"key": "AAAA", "port": 1},
        {"key": key(1), "port": 0},
        {"key": "é", "port": 1},
    ]
    for said in nonsense:
        assert read(json.dumps(said)) == ("", 0), said
    assert read("{") == ("", 0)


def test_what_bears_a_nodes_address_goes_without_the_device_and_only_vxlan_is_guarded() -> None:
    text = ruleset("cni0", [ip_network("10.244.1.0/24")], [], [], 0, steered=True)
    assert "chain direct" in text and "notrack" not in text
    assert "chain direct" not in ruleset("cni0", [ip_network("10.244.1.0/24")], [], [])


def test_the_mark_for_the_direct_way_is_nobody_elses() -> None:
    of_others = {"kubelet": 0x8000, "portmap": 0x2000, "Tailscale, Calico, Cilium": 0xFFFF0000, "Cilium, Amazon": 0xF80}
    for mask in (MASQUERADE_MARK, *of_others.values()):
        assert not overlay.DIRECT_MARK & mask


def test_what_a_proxy_masquerades_on_its_way_into_a_device_comes_from_the_nodes_own_address() -> None:
    assert overlay.MASQUERADE_MARK == MASQUERADE_MARK
    local = map(ip_address, ("10.99.0.1", "fd99::1", "10.99.0.9"))
    sources = [("wherry-wg", address) for address in overlay.first_of_each(local)]
    text = ruleset("cni0", [ip_network("10.244.1.0/24")], [], [], 0, steered=True, sources=sources)
    rules = text.partition("chain as-the-node {")[2].partition("}")[0]
    assert "priority srcnat - 10;" in rules
    assert re.findall(r'"wherry-wg" meta nfproto (\w+) .* snat (\w+) to (\S+)', rules) == [
        ("ipv4", "ip", "10.99.0.1"),
        ("ipv6", "ip6", "fd99::1"),
    ]
    assert "as-the-node" not in ruleset("cni0", [ip_network("10.244.1.0/24")], [], [], 0, steered=True)


def test_a_key_is_made_once_for_roots_eyes(tmp_path: Path) -> None:
    first = key_in(tmp_path / "run")
    assert len(first) == 32 and key_in(tmp_path / "run") == first
    assert (tmp_path / "run" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / "run" / KEY_FILE).write_bytes(b"cut off")
    assert len(key_in(tmp_path / "run")) == 32


def test_a_peer_is_read_as_it_was_told_also_when_it_is_told_in_pieces() -> None:
    peers = [
        Peer(key(2), (ip_address("10.99.0.2"), 51820), frozenset([ip_network("10.244.2.0/24")]), 25),
        Peer(key(3), (ip_address("fd99::3"), 7), frozenset([ip_network("fd44::/64"), ip_network("10.1.0.0/16")]), 0),
    ]
    packed = [kit.set_peer(9, peer) for peer in peers]
    parts = [kit.parse(each) for each in packed]
    assert kit.joined(parts) == Device("", 0, tuple(peers))
    rest = Peer(key(2), (ip_address(0), 0), frozenset([ip_network("10.244.9.0/24")]))
    (whole, _) = kit.joined([*parts, Device(peers=(rest,))]).peers
    assert whole.endpoint == peers[0].endpoint and len(whole.networks) == 2
    for handshake in (bytes(16), b"\1" + bytes(15)):
        peer = wire.nested(0, wire.attribute(1, bytes(32)), wire.attribute(6, handshake))
        assert kit.parse(bytes(4) + wire.nested(8, peer)).peers[0].heard == any(handshake)


def test_who_was_reached_encrypted_is_not_reached_in_the_clear_where_the_device_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, other, new = node_at(1), node_at(2), node_at(3)
    way = ByWireguard(Settings("node1", mode=Mode.WIREGUARD), cast(Netlink, None))
    way.link, way._device, way._proved = 9, Device(key(1), 51820), {"node2"}
    way.steering = before = steering(own, wireguard.routes_to_nodes([other], 9))

    def fail(*_: object) -> int:
        raise OSError("no buffer space")

    monkeypatch.setattr(way, "_ensure", fail)
    assert way.prepare(own, [own, other, new], 1440) == {"wireguard: no buffer space"}
    route = way.route(other, other.cidrs[0])
    assert route and route.link == 9 and way.route(new, new.cidrs[0]) is None
    assert way.steering == before and way.announcement() == wireguard.announcement(key(1), 51820)
    assert way.finish("node1", [own]) == set() and way.link == 9, "nor is it taken away for that"


@pytest.mark.parametrize("given", [{"device": ""}, {"device": "a" * 16}, {"port": 0}, {"port": 65536}])
def test_settings_that_cannot_be_are_refused_by_name(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"wireguard.{next(iter(given))}"):
        WireguardSettings(**given)  # type: ignore[arg-type]


@pytest.mark.kernel
def test_a_kernel_without_it_is_told_and_nodes_are_reached_directly(tmp_path: Path) -> None:
    if _has_wireguard():
        pytest.skip("this kernel has WireGuard")
    with kernel.namespaces(1, "n") as (node,), Netlink(node) as opened:
        between = Between(Settings("node1", run_dir=tmp_path, mode=Mode.WIREGUARD), opened)
        (problem,) = between.prepare(node_at(1), [node_at(1), node_at(2)])
        assert problem.startswith("wireguard: ") and "add wireguard wherry-wg: " in problem
        assert between.route(node_at(2), node_at(2).cidrs[0]) is None
        assert between.announcements(node_at(1))[KEY_ANNOTATION] is None
        between.close()


def _has_wireguard() -> bool:
    try:
        Wireguard().close()
    except OSError:
        return False
    return os.geteuid() == 0
