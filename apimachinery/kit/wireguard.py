"""WireGuard devices and their peers, by generic netlink packed by hand.

    route ──> device ── which peer's networks hold the address ──> its key, its endpoint ── UDP, encrypted ──> peer
    and what a peer sends is heard only with a sender's address in its own networks

Requests are packed by pure functions; `Wireguard` sends them in the namespace it was opened in.
Sources: linux/wireguard.h, drivers/net/wireguard/netlink.c.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Request, generic, links, wire
from apimachinery.kit.netlink.routes import Address, Network

KIND = "wireguard"
PORT = 51820
OVERHEAD = {4: 60, 6: 80}
"""Bytes that a device adds to a packet (IP, UDP, WireGuard), by the version of the outer address."""
KEY_BYTES = 32

_GET_DEVICE, _SET_DEVICE = 0, 1
_INDEX, _PRIVATE, _PUBLIC, _LISTEN, _PEERS = 1, 3, 4, 6, 8
_PEER_KEY, _PEER_FLAGS, _ENDPOINT, _KEEPALIVE, _HANDSHAKE, _NETWORKS = 1, 3, 4, 5, 6, 9
_REMOVE, _REPLACE_NETWORKS = 1, 2
_NETWORK_FAMILY, _NETWORK_ADDRESS, _NETWORK_LENGTH = 1, 2, 3


@dataclass(frozen=True)
class Peer:
    """A far end. `key` is public, in base64; `keepalive` in seconds, 0: none."""

    key: str
    endpoint: tuple[Address, int]
    networks: frozenset[Network]
    keepalive: int = 0
    heard: bool = field(default=False, compare=False)
    """it has proved itself since it was told to the device"""


@dataclass(frozen=True)
class Device:
    """What the kernel says of a device; its public key in base64, "" while it has none."""

    key: str = ""
    port: int = 0
    peers: tuple[Peer, ...] = ()


def add(end: End) -> Request:
    """A device without key or peer."""
    return links.create(end, KIND)


def set_device(index: int, private: bytes, port: int) -> bytes:
    """`private`: KEY_BYTES of it."""
    listen = wire.attribute(_LISTEN, struct.pack("=H", port))
    return generic.command(_SET_DEVICE, wire.u32(_INDEX, index), wire.attribute(_PRIVATE, private), listen)


def set_peer(index: int, peer: Peer) -> bytes:
    """A new peer, or what is different of one."""
    address, port = peer.endpoint
    networks = (wire.nested(0, *_network(n)) for n in sorted(peer.networks, key=str))
    parts = [
        wire.attribute(_PEER_KEY, base64.b64decode(peer.key)),
        wire.u32(_PEER_FLAGS, _REPLACE_NETWORKS),
        wire.attribute(_ENDPOINT, _sockaddr(address, port)),
        wire.attribute(_KEEPALIVE, struct.pack("=H", peer.keepalive)),
        wire.nested(_NETWORKS, *networks),
    ]
    return generic.command(_SET_DEVICE, wire.u32(_INDEX, index), wire.nested(_PEERS, wire.nested(0, *parts)))


def delete_peer(index: int, key: str) -> bytes:
    """Nothing is said of one that is not there."""
    parts = (wire.attribute(_PEER_KEY, base64.b64decode(key)), wire.u32(_PEER_FLAGS, _REMOVE))
    return generic.command(_SET_DEVICE, wire.u32(_INDEX, index), wire.nested(_PEERS, wire.nested(0, *parts)))


class Wireguard(generic.Family):
    """The WireGuard devices of a namespace (None: this thread's). Raises OSError; ENOENT where the kernel has none."""

    def __init__(self, namespace: netns.Namespace | None = None) -> None:
        super().__init__(KIND, namespace)

    def device(self, index: int) -> Device:
        """What a device is set to."""
        packed = generic.command(_GET_DEVICE, wire.u32(_INDEX, index))
        return joined(self.dump(packed, f"look up WireGuard device {index}", lambda reply: parse(reply.payload)))


def parse(payload: bytes) -> Device:
    """One message of an answer; a device with many peers fills several, and a peer may be continued in the next."""
    found = wire.attributes(payload, generic.HEAD)
    peers = tuple(_peer(wire.attributes(each)) for _, each in wire.every_attribute(found.get(_PEERS, b"")))
    public = found.get(_PUBLIC, b"")
    port = struct.unpack("=H", found[_LISTEN])[0] if _LISTEN in found else 0
    return Device(base64.b64encode(public).decode() if any(public) else "", port, peers)


def joined(parts: Iterable[Device]) -> Device:
    """The device whose description came in several messages. Pure."""
    key, port, peers = "", 0, dict[str, Peer]()
    for part in parts:
        key, port = part.key or key, part.port or port
        for peer in part.peers:
            known = peers.get(peer.key)
            if known is not None:
                peer = Peer(known.key, known.endpoint, known.networks | peer.networks, known.keepalive, known.heard)
            peers[peer.key] = peer
    return Device(key, port, tuple(peers.values()))


def _peer(found: dict[int, bytes]) -> Peer:
    networks = frozenset(
        _network_of(wire.attributes(each)) for _, each in wire.every_attribute(found.get(_NETWORKS, b""))
    )
    keepalive = struct.unpack("=H", found[_KEEPALIVE])[0] if _KEEPALIVE in found else 0
    heard = any(found.get(_HANDSHAKE, b""))
    return Peer(base64.b64encode(found[_PEER_KEY]).decode(), _endpoint(found), networks, keepalive, heard)


def _endpoint(found: dict[int, bytes]) -> tuple[Address, int]:
    raw = found.get(_ENDPOINT, b"")
    if len(raw) < 8:
        return ipaddress.IPv4Address(0), 0
    family, port = struct.unpack_from("=H", raw)[0], struct.unpack_from("!H", raw, 2)[0]
    return ipaddress.ip_address(raw[4:8] if family == socket.AF_INET else raw[8:24]), port


def _sockaddr(address: Address, port: int) -> bytes:
    if address.version == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + address.packed + bytes(8)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + address.packed + bytes(4)


def _network(network: Network) -> tuple[bytes, ...]:
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    return (
        wire.attribute(_NETWORK_FAMILY, struct.pack("=H", family)),
        wire.attribute(_NETWORK_ADDRESS, network.network_address.packed),
        wire.u8(_NETWORK_LENGTH, network.prefixlen),
    )


def _network_of(found: dict[int, bytes]) -> Network:
    return ipaddress.ip_network((found[_NETWORK_ADDRESS], wire.as_int(found[_NETWORK_LENGTH])))
