"""Which endpoint a client gets. Pure: chance and time are arguments."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from netproxy.model import PortKey
from netproxy.userspace.plan import Relay, Target

_MOST_BOUND = 65536
"""clients of one Service port that are remembered, as the other modes have it"""


class Bindings:
    """Session affinity: which endpoint each client of a Service port had last."""

    def __init__(self) -> None:
        self._bound: dict[PortKey, OrderedDict[str, tuple[Target, float]]] = {}

    def of(self, service: PortKey, client: str, seconds: int, now: float) -> Target | None:
        """What the client is bound to; None when it never came, or too long ago."""
        clients = self._bound.get(service)
        found = clients.get(client) if clients else None
        return found[0] if found and now - found[1] < seconds else None

    def bind(self, service: PortKey, client: str, target: Target, now: float) -> None:
        """The client came, and got `target`."""
        clients = self._bound.setdefault(service, OrderedDict())
        clients[client] = (target, now)
        clients.move_to_end(client)
        if len(clients) > _MOST_BOUND:
            clients.popitem(last=False)

    def forget(self, service: PortKey) -> None:
        """The Service port is gone."""
        self._bound.pop(service, None)


def candidates(
    relay: Relay, client: str, inside: bool, bindings: Bindings, now: float, chance: float
) -> tuple[Target, ...]:
    """Endpoints to try for a client, in this order; none: it is turned away. `chance`: at least 0, below 1."""
    address = ipaddress.ip_address(client)
    if relay.sources and not any(address in ipaddress.ip_network(cidr) for cidr in relay.sources):
        return ()
    targets = relay.inside if inside else relay.outside
    if not targets:
        return ()
    first = int(chance * len(targets))
    order = (*targets[first:], *targets[:first])
    if relay.affinity_seconds:
        bound = bindings.of(relay.service, client, relay.affinity_seconds, now)
        if bound in order:
            return (bound, *(target for target in order if target != bound))
    return order
