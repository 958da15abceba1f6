"""Settings of the node's pod network."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from apimachinery.kit import wireguard
from apimachinery.kit.netlink.links import NAME_LIMIT
from apimachinery.kit.netlink.routes import Network
from apimachinery.kit.netlink.vxlan import PORT


class Mode(Enum):
    """How pods of different nodes reach each other."""

    HOST_GW = "host-gw"
    VXLAN = "vxlan"
    WIREGUARD = "wireguard"
    NONE = "none"


@dataclass(frozen=True)
class Vxlan:
    """The device of mode vxlan; number and port have to be those of all nodes that shall use it."""

    device: str = "wherry-vxlan"
    """Its name."""
    number: int = 119
    """The network's (VNI), 1 to 16777215."""
    port: int = PORT
    """UDP, 1 to 65535."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        if not 0 < len(self.device) <= NAME_LIMIT or "/" in self.device:
            raise ValueError(f"vxlan.device {self.device!r} is no name for a link: 1 to {NAME_LIMIT} characters")
        for name, value, most in (("number", self.number, (1 << 24) - 1), ("port", self.port, 65535)):
            if not 0 < value <= most:
                raise ValueError(f"vxlan.{name} is {value}; use 1 to {most}")


@dataclass(frozen=True)
class WireguardSettings:
    """The device of mode wireguard."""

    device: str = "wherry-wg"
    """Its name."""
    port: int = wireguard.PORT
    """UDP, 1 to 65535."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        if not 0 < len(self.device) <= NAME_LIMIT or "/" in self.device:
            raise ValueError(f"wireguard.device {self.device!r} is no name for a link: 1 to {NAME_LIMIT} characters")
        if not 0 < self.port <= 65535:
            raise ValueError(f"wireguard.port is {self.port}; use 1 to 65535")


@dataclass(frozen=True)
class Settings:
    """One node's pod network, or the routes of a host that is no node."""

    node_name: str = ""
    """The Node's name; empty: this host is no node, and only routes to the nodes' pods are kept."""
    run_dir: Path = Path("/run/wherry")
    """The daemon's socket cni.sock lies here; made when missing."""
    conf_dir: Path = Path("/etc/cni/net.d")
    """Where the runtime looks for configurations."""
    bin_dir: Path = Path("/opt/cni/bin")
    """Where the runtime looks for executables."""
    data_dir: Path = Path("/var/lib/cni/networks")
    """Reserved addresses; must survive a restart of the daemon, and may not survive the node."""
    mode: Mode = Mode.HOST_GW
    """host-gw: routes, for nodes that share a link. vxlan: in UDP, for nodes that reach each other in any way.
    wireguard: likewise, and encrypted. none: another program (Calico, Cilium, flannel) is the pod network; nothing is
    written, and what was is taken away."""
    vxlan: Vxlan = field(default_factory=Vxlan)
    wireguard: WireguardSettings = field(default_factory=WireguardSettings)
    bridge: str = "cni0"
    """The bridge that joins the node's pods."""
    mtu: int = 0
    """Bytes, of pods' links; 0: what fits through the link with the node's address, by vxlan 50 (IPv6: 70) less, by
    WireGuard 60 (80)."""
    cluster_cidr: tuple[str, ...] = ("10.244.0.0/16",)
    """All pods of the cluster, one CIDR per IP family: what lies in it is never masqueraded and never leaves
    by the default route."""
    masquerade: bool = True
    """Pods take the node's address when they talk to what is neither a pod nor a node."""
    flow_table: bool = True
    """Packets of TCP connections that are under way between pods of different nodes go past bridge, rules and tracking,
    where the kernel has flow tables (Linux 6.1, module nft_flow_offload)."""
    log_level: str = "info"
    """debug | info | warning | error; of a process of its own only."""

    @property
    def ranges(self) -> tuple[Network, ...]:
        """`cluster_cidr`, read."""
        return tuple(ipaddress.ip_network(text) for text in self.cluster_cidr)

    @property
    def socket(self) -> Path:
        """Where the executables reach the daemon."""
        return self.run_dir / "cni.sock"
