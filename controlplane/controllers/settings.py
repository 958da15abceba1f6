"""Settings of the controllers; the defaults are upstream's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from controlplane.election import ElectionSettings


@dataclass(frozen=True)
class Settings:
    """Times are seconds.

    ``cluster_cidr``: the pods' range, or two of them (IPv4 and IPv6) separated by a comma; empty: nodes get
    no pod range from us. ``root_ca_file``: published to every namespace as kube-root-ca.crt; none: nothing is
    published. ``node_monitor_grace``: a node silent for longer is Unknown. ``eviction_rate``: nodes per
    second and zone that may be tainted NoExecute. ``orphan_quarantine``: how long a node must be gone before
    its pods are removed. ``controllers``: names to run, ``*`` for all, ``-name`` to leave one out.
    """

    kubeconfig: Path
    health_host: str = "127.0.0.1"
    health_port: int = 10257
    log_level: str = "info"
    cluster_cidr: str = ""
    node_cidr_mask: int = 24
    node_cidr_mask_ipv6: int = 64
    service_account_key_file: Path | None = None
    root_ca_file: Path | None = None
    node_monitor_period: float = 5.0
    node_monitor_grace: float = 40.0
    node_startup_grace: float = 60.0
    eviction_rate: float = 0.1
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size: int = 50
    secondary_eviction_rate: float = 0.01
    pod_gc_period: float = 20.0
    orphan_quarantine: float = 40.0
    terminated_pod_threshold: int = 12500
    workers: int = 5
    controllers: tuple[str, ...] = ("*",)
    election: ElectionSettings = field(default_factory=ElectionSettings)
