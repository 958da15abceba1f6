"""Settings of the node's pod network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`node_name` is empty on a machine that is no node: then only routes to the nodes' pods are kept."""

    node_name: str = ""
    # The daemon's socket cni.sock lives here; the directory is made when missing.
    run_dir: Path = Path("/run/wherry")
    # Where the runtime looks for configurations and for executables.
    conf_dir: Path = Path("/etc/cni/net.d")
    bin_dir: Path = Path("/opt/cni/bin")
    # Reserved addresses; must survive a restart of the daemon, and may not survive the node.
    data_dir: Path = Path("/var/lib/cni/networks")
    bridge: str = "cni0"
    # Bytes; 0 leaves the kernel's 1500.
    mtu: int = 0
    # All pods of the cluster, one CIDR per IP family: what lies in it is never masqueraded and never leaves
    # by the default route.
    cluster_cidr: tuple[str, ...] = ("10.244.0.0/16",)
    # Pods take the node's address when they talk to what is neither a pod nor a node.
    masquerade: bool = True

    @property
    def socket(self) -> Path:
        return self.run_dir / "cni.sock"
