"""Stale UDP flows are removed from the kernel's connection tracking.

A UDP flow never ends by itself while a client keeps sending: its entry would keep leading to an endpoint that is
gone, or past the rules to nowhere when it began before the first endpoint came. TCP and SCTP need nothing: their peer
ends them. Only what began while a stranger had taken our rules away is removed whatever its protocol: the tracker would
keep it untranslated, however often the client repeats itself. Deciding is pure, `sweep` and `sweep_untranslated` are
the only side effects.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from apimachinery.kit.conntrack import Flow, Target, Tracking
from netproxy.model import Family, PortKey, Route

_ADDRESS_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_UDP = _PROTOCOLS["UDP"]


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


def sweep(
    changes: Mapping[PortKey, tuple[Route | None, Route | None]], families: Iterable[Family]
) -> dict[Family, int]:
    """Remove stale flows and return how many of which family, where there were any; blocks, so call it from a thread.
    Raises OSError."""
    removed = {}
    for family in families:
        wish = wanted(changes, family)
        if wish:
            with Tracking(_ADDRESS_FAMILY[family]) as tracking:
                count = sum(map(tracking.delete, stale(tracking.flows(), wish)))
                removed.update({family: count} if count else {})
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
        with Tracking(_ADDRESS_FAMILY[family]) as tracking:
            removed += sum(map(tracking.delete, untranslated(tracking.flows(), fronts)))
    return removed
