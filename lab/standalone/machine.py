"""One machine of a cluster as a value, in the shape from which a lab's daemons are set up (`Spec`), and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.node.address import route_source
from lab import names
from lab.paths import Paths
from lab.spec import Node, Spec, SpecError

HOME = Paths(names.MACHINE)
"""Below /var/lib/wherry and /run/wherry, beside the labs, whose names leave this one free."""
# Every machine behind VirtualBox's NAT, and behind QEMU's, has this address on its first interface.
NAT_ADDRESS = "10.0.2.15"
# Any address of the world: a route is looked up, nothing is sent (RFC 5737).
_WORLD = "192.0.2.1"


@dataclass(frozen=True)
class Machine(Spec):
    """A cluster as one of its machines sees it. `node_cidr` stays empty: machines have addresses already."""

    own_address: str = ""
    """This machine's."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Other nodes' by name, as far as they matter here."""

    @property
    def gateways(self) -> tuple[str, ...]:
        """Where this machine listens."""
        return (self.own_address,)

    def addresses_of(self, node: Node) -> tuple[str, ...]:
        """The node's address."""
        return (self.addresses[node.name],)


def own_address(asked: str, host: str = _WORLD, port: int = 443) -> str:
    """The address asked for, or the one that leads to `host`. SpecError where that cannot be it."""
    if asked:
        return asked
    try:
        found = route_source(host, port)
    except OSError as error:
        raise SpecError(f"no route to {host} ({error.strerror}): say which address this machine has") from error
    if found == NAT_ADDRESS:
        raise SpecError(
            f"the route to {host} begins at {NAT_ADDRESS}, which every machine behind a virtual NAT has: "
            "say which other address this machine has"
        )
    return found
