"""What can be set. Keys of the file are the fields' names."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netproxy import kubeproxy, modes
from netproxy.dns.settings import Dns
from netproxy.ipvs.options import Options as IpvsOptions
from netproxy.limits import Conntrack
from netproxy.names import NFT_TABLE


@dataclass(frozen=True)
class Settings:
    """One netproxy. Times are seconds, addresses and CIDRs may mix families."""

    kubeconfig: Path
    """Where the API server is, and who we are."""
    mode: str = "nftables"
    """nftables needs a kernel with nf_tables, ipvs the modules ip_vs and dummy and the program ipset; iptables works on
    its nft and its legacy back end, userspace everywhere. auto: the first of these that can be had here."""
    node_name: str = ""
    """Empty: this host is no node; Services work from it, policy Local finds no endpoints, and it has no pods to which
    NetworkPolicies could apply. In a file of kube-proxy's: the host's name."""
    node_ips: tuple[str, ...] = ()
    """Node ports answer on these in nftables mode; empty: on every local address but loopback."""
    cluster_cidr: str = ""
    """Pod addresses, several separated by commas; traffic from elsewhere to a cluster IP gets a source it
    can be answered at."""
    pod_interface: str = ""
    """Instead of cluster_cidr: pods' traffic is what comes by this interface, or by all whose names begin so when it
    ends in + (`cni0`, `veth+`)."""
    node_cidr: bool = False
    """Instead of cluster_cidr: pods' traffic is what comes from this node's own pod range, as its Node object says."""
    service_cidr: str = ""
    """Several separated by commas; packets to addresses in it which no Service has are dropped (nftables)."""
    node_port_addresses: tuple[str, ...] = ()
    """CIDRs of local addresses node ports answer on, or the one word `primary` for node_ips."""
    masquerade_all: bool = False
    """Every packet to a Service gets a source it can be answered at, also from pods."""
    localhost_node_ports: bool = True
    """iptables, IPv4: node ports answer on 127.0.0.1 too (sets route_localnet)."""
    iptables_backend: str = ""
    """nft or legacy; empty: what the host's iptables command is."""
    ipvs: IpvsOptions = field(default_factory=IpvsOptions)
    """Of ipvs mode alone."""
    nft_table: str = NFT_TABLE
    """Name of the nftables table; several netproxies may share a host when each has its own."""
    ipv6: bool | None = None
    """None: when the host has IPv6."""
    network_policy: bool = True
    """Enforce NetworkPolicies on this node's pods; false where another program does (Calico, Cilium)."""
    cni_results: Path = Path("/var/lib/cni/results")
    """Where CNI's library keeps what each pod got: tells a pod's address before the API does."""
    sync_period: float = 30.0
    """A sync at least this often, as a safety net."""
    min_sync_period: float | None = None
    """Pause between two syncs; the first change after quiet never waits. None: what suits the mode."""
    bind_address: str = "0.0.0.0"
    """For the health server."""
    health_port: int = 10256
    """0: no health server."""
    metrics_bind_address: str = "127.0.0.1"
    """For the metrics server."""
    metrics_port: int = 10249
    """0: no metrics server."""
    dns: Dns = field(default_factory=Dns)
    """Cluster DNS on this host."""
    conntrack: Conntrack = field(default_factory=Conntrack)
    """Limits and timeouts of the connection tracker."""
    oom_score_adj: int | None = None
    """-1000 to 1000, how soon the kernel ends this process for memory; None: as whoever started it."""
    log_level: str = "info"
    """debug | info | warning | error"""
    unused: tuple[str, ...] = ()
    """Fields of a kube-proxy file that change nothing here: told at the start."""

    @staticmethod
    def translated(values: dict[str, Any]) -> dict[str, Any]:
        """A file's values: ours, or kube-proxy's own."""
        return kubeproxy.translated(values, modes.choices(), socket.gethostname())

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        if self.mode not in modes.choices():
            raise ValueError(f"mode: use one of {', '.join(modes.choices())}")
        for name, texts in (
            ("node_ips", self.node_ips),
            ("cluster_cidr", split(self.cluster_cidr)),
            ("service_cidr", split(self.service_cidr)),
            ("node_port_addresses", tuple(t for t in self.node_port_addresses if t != "primary")),
        ):
            for text in texts:
                try:
                    ipaddress.ip_network(text, strict=False)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,62}", self.nft_table):
            raise ValueError("nft_table: use letters, digits, - and _, at most 63, a letter first")
        if self.pod_interface and not re.fullmatch(r"[^\s/\"+*]{1,15}\+?", self.pod_interface):
            raise ValueError(f"pod_interface: {self.pod_interface!r} is no interface, nor how the names of some begin")
        if self.pod_interface and self.mode == "userspace":
            raise ValueError("pod_interface: userspace mode sees no interfaces; use cluster_cidr")
        if self.node_cidr and not self.node_name:
            raise ValueError("node_cidr: say which node this is (node_name)")
        if self.oom_score_adj is not None and not -1000 <= self.oom_score_adj <= 1000:
            raise ValueError(f"oom_score_adj: {self.oom_score_adj} is not between -1000 and 1000")
        if self.iptables_backend not in ("", "nft", "legacy"):
            raise ValueError("iptables_backend: use nft, legacy or nothing")


def split(text: str) -> tuple[str, ...]:
    """Comma-separated words, without empty ones."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
