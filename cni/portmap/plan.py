"""Who shall have which ports of the node, whatever kind of rules leads there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

PROTOCOLS = ("tcp", "udp", "sctp")
# The reference plugin's: Kubernetes has 14 and 15, Calico 20 to 31.
DEFAULT_MARK_BIT = 13

Port = tuple[str, int, int]
"""(protocol, IP version, number) of a port of the node"""


@dataclass(frozen=True)
class Forward:
    """`host_ip` "" means every address of the node in `pod_ip`'s family. `protocol` is one of PROTOCOLS."""

    protocol: str
    host_ip: str
    host_port: int
    pod_ip: str
    pod_port: int

    @property
    def version(self) -> int:
        return 6 if ":" in self.pod_ip else 4

    @property
    def port(self) -> Port:
        return self.protocol, self.version, self.host_port


@dataclass(frozen=True)
class Special:
    """What the back end iptables alone can do beside."""

    mark_bit: int = DEFAULT_MARK_BIT
    """by which packets that are to be masqueraded are known until they leave"""
    mark_chain: str = ""
    """of nat, somebody else's, which marks and has masqueraded; "": our own"""
    masquerade_all: bool = False
    """whoever asks is seen as the node, not only pods of the same network and the node's loopback"""
    conditions: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """words of iptables that a packet has to fulfil besides; for IPv4 and for IPv6"""

    def conditions_of(self, version: int) -> tuple[str, ...]:
        """Those of a family."""
        return self.conditions[version == 6]


@dataclass(frozen=True)
class Holder:
    """An attachment and its host ports. `sources` are the networks (CIDR) of its addresses; `snat`: masquerade what
    comes from them or from the node's loopback. `links` are the node's, by which the pod is reached. `backend` is one
    of `cni.backend.BACKENDS`, "" while nobody has chosen; `special` is for iptables alone.
    """

    network: str
    container_id: str
    ifname: str
    forwards: tuple[Forward, ...]
    sources: tuple[str, ...]
    snat: bool = True
    links: tuple[str, ...] = ()
    backend: str = ""
    special: Special = field(default_factory=Special)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.network, self.container_id, self.ifname


def clash(wanted: Holder, others: Iterable[Holder]) -> str:
    """Why a holder cannot have its ports, "" when it can: one port has one pod, on overlapping addresses."""
    taken = [(f, o.container_id) for o in others for f in o.forwards]
    for number, forward in enumerate(wanted.forwards):
        own = [(f, wanted.container_id) for f in wanted.forwards[:number]]
        for other, holder in [*taken, *own]:
            if _meet(forward, other):
                where = f"{forward.host_ip or 'every address'} {forward.protocol} port {forward.host_port}"
                return f"host port conflict: {where} already leads to container {holder}"
    return ""


def _meet(one: Forward, other: Forward) -> bool:
    return one.port == other.port and (one.host_ip == other.host_ip or not one.host_ip or not other.host_ip)
