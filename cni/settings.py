"""Settings of the node's pod network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    bridge: str = "cni0"
    """The bridge that joins the node's pods."""
    mtu: int = 0
    """Bytes; 0 leaves the kernel's 1500."""
    cluster_cidr: tuple[str, ...] = ("10.244.0.0/16",)
    """All pods of the cluster, one CIDR per IP family: what lies in it is never masqueraded and never leaves
    by the default route."""
    masquerade: bool = True
    """Pods take the node's address when they talk to what is neither a pod nor a node."""
    log_level: str = "info"
    """debug | info | warning | error; of a process of its own only."""

    @property
    def socket(self) -> Path:
        """Where the executables reach the daemon."""
        return self.run_dir / "cni.sock"
