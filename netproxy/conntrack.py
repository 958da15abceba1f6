"""Stale UDP flows are removed from the kernel's connection tracking.

A UDP flow never ends by itself while a client keeps sending: its entry would keep leading to an endpoint that is
gone, or past the rules to nowhere when it began before the first endpoint came. TCP and SCTP need nothing: their peer
them. Only what began while a stranger had taken our rules away is removed whatever its protocol: the tracker would keep
it untranslated, however often the client repeats itself. Packets are packed by hand (nfnetlink_conntrack.h);
deciding is pure, `sweep` and `sweep_untranslated` are the only side effects.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from netproxy.model import Family, PortKey, Route

_NETLINK_NETFILTER = 12
_CT_NEW, _CT_GET, _CT_DELETE = 0x100, 0x101, 0x102
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 1, 4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NESTED = 0x8000
_ADDRESS_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_UDP = _PROTOCOLS["UDP"]

Target = tuple[str, int]
"""(address, port)"""


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked connection: what the client sent to, who answers, and the raw tuple that names it."""

    protocol: int
    destination: Target
    answering: Target
    tuple_bytes: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of changed UDP Service ports: address or node port → the backends a flow may still lead to."""

    services: Mapping[Target, frozenset[Target]]
    node_ports: Mapping[int, frozenset[Target]]

    def __bool__(self) -> bool:
        return bool(self.services or self.node_ports)


def wanted(changes: Mapping[PortKey, tuple[Route | None, Route | None]], family: Family) -> Wanted:
    """From (before, after) of every changed route of one family. Pure."""
    services: dict[Target, frozenset[Target]] = {}
    node_ports: dict[int, frozenset[Target]] = {}
    for key, (before, after) in changes.items():
        if key.protocol != "UDP" or key.family is not family or not (before or after):
            continue
        valid = frozenset((b.ip, b.port) for b in after.reachable) if after else frozenset()
        for route in (before, after):
            if route is not None:
                port = route.port
                fronts = (port.cluster_ip, *port.external_ips, *port.load_balancer_ips)
                services.update(((ip, port.port), valid) for ip in fronts)
                if port.node_port:
                    node_ports[port.node_port] = valid
    return Wanted(services, node_ports)


def stale(flows: Iterable[Flow], wish: Wanted) -> list[Flow]:
    """The flows to remove. Pure. A node port's flow counts only when it was redirected at all."""
    result = []
    for flow in flows:
        if flow.protocol != _UDP:
            continue
        valid = wish.services.get(flow.destination)
        if valid is None and flow.answering[0] != flow.destination[0]:
            valid = wish.node_ports.get(flow.destination[1])
        if valid is not None and flow.answering not in valid:
            result.append(flow)
    return result


def sweep(changes: Mapping[PortKey, tuple[Route | None, Route | None]], families: Iterable[Family]) -> int:
    """Remove stale flows and return how many; blocks, so call it from a thread. Raises OSError."""
    removed = 0
    for family in families:
        wish = wanted(changes, family)
        if wish:
            with _connect() as handle:
                flows = list(_dump(handle, family))
                removed += sum(_delete(handle, family, flow) for flow in stale(flows, wish))
    return removed


def untranslated(flows: Iterable[Flow], fronts: Collection[tuple[int, str, int]]) -> list[Flow]:
    """Flows to a Service's address that no rule has redirected. Pure. `fronts`: (protocol number, address, port)."""
    return [f for f in flows if f.answering == f.destination and (f.protocol, *f.destination) in fronts]


def sweep_untranslated(routes: Iterable[Route], families: Iterable[Family]) -> int:
    """Remove what began while rules were missing, so that its next packet is translated; returns how many.

    Blocks, so call it from a thread. Raises OSError.
    """
    fronts = {
        (_PROTOCOLS[route.port.key.protocol], ip, route.port.port)
        for route in routes
        for ip in (route.port.cluster_ip, *route.port.external_ips, *route.port.load_balancer_ips)
    }
    removed = 0
    for family in families if fronts else ():
        with _connect() as handle:
            flows = list(_dump(handle, family))
            removed += sum(_delete(handle, family, flow) for flow in untranslated(flows, fronts))
    return removed


def _connect() -> socket.socket:
    handle = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    handle.settimeout(5)
    handle.bind((0, 0))
    return handle


def _request(kind: int, flags: int, family: Family, body: bytes = b"") -> bytes:
    payload = struct.pack("=BBH", _ADDRESS_FAMILY[family], 0, 0) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, _NLM_F_REQUEST | flags, 1, 0) + payload


def _dump(handle: socket.socket, family: Family) -> Iterator[Flow]:
    handle.send(_request(_CT_GET, _NLM_F_DUMP, family))
    while True:
        data = handle.recv(1 << 17)
        for kind, body in _messages(data):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                code = -struct.unpack_from("=i", body)[0]
                raise OSError(code, "connection tracking cannot be listed")
            flow = parse_flow(body[4:], family)
            if flow:
                yield flow


def _delete(handle: socket.socket, family: Family, flow: Flow) -> bool:
    body = struct.pack("=HH", 4 + len(flow.tuple_bytes), 1 | _NESTED) + flow.tuple_bytes
    handle.send(_request(_CT_DELETE, _NLM_F_ACK, family, body))
    return any(
        kind == _NLMSG_ERROR and struct.unpack_from("=i", body)[0] == 0
        for kind, body in _messages(handle.recv(1 << 16))
    )


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        yield kind, data[offset + 16 : offset + length]
        offset += max((length + 3) & ~3, 16)


def parse_flow(data: bytes, family: Family) -> Flow | None:
    """A conntrack message's attributes to a Flow; None when it has no ports."""
    attributes = _attributes(data)
    original, reply = attributes.get(1, b""), attributes.get(2, b"")
    sent, answered = _attributes(original), _attributes(reply)
    sent_ports, answered_ports = _attributes(sent.get(2, b"")), _attributes(answered.get(2, b""))
    if 3 not in sent_ports or 2 not in answered_ports or 1 not in sent_ports:
        return None
    source, destination = (1, 2) if family is Family.IPV4 else (3, 4)
    kind = _ADDRESS_FAMILY[family]
    return Flow(
        protocol=sent_ports[1][0],
        destination=(
            socket.inet_ntop(kind, _attributes(sent.get(1, b""))[destination]),
            int.from_bytes(sent_ports[3], "big"),
        ),
        answering=(
            socket.inet_ntop(kind, _attributes(answered.get(1, b""))[source]),
            int.from_bytes(answered_ports[2], "big"),
        ),
        tuple_bytes=original,
    )


def _attributes(data: bytes) -> dict[int, bytes]:
    result: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        result[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return result
