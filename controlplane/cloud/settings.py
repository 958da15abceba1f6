"""Settings of a cloud controller manager; the defaults are upstream's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from controlplane.election import ElectionSettings


@dataclass(frozen=True)
class Settings:
    """One process of a cloud's loops; periods are seconds."""

    kubeconfig: Path
    """Where the API server is, and who we are."""
    health_host: str = "127.0.0.1"
    """Address of /healthz and /metrics."""
    health_port: int = 10258
    """Their port."""
    tls_cert_file: Path | None = None
    """Their certificate (PEM); none: one is made at each start."""
    tls_key_file: Path | None = None
    """Its key."""
    client_ca_file: Path | None = None
    """Whose client certificates are believed there; none: tokens alone. Health is for everybody, the rest for whom the
    API server lets in."""
    cluster_cidr: tuple[str, ...] = ()
    """The pods' ranges; what the cloud routes elsewhere is left alone."""
    configure_cloud_routes: bool = True
    """Whether the cloud gets routes to the nodes' pod ranges, where it has any."""
    node_status_update_frequency: float = 300.0
    """How often the addresses of nodes are compared with the cloud's."""
    node_monitor_period: float = 5.0
    """How often nodes that are not ready are asked after in the cloud."""
    route_reconciliation_period: float = 10.0
    """How often routes are compared with nodes, at most."""
    concurrent_service_syncs: int = 1
    """Services whose load balancers are worked on at the same time."""
    service_backoff_first: float = 5.0
    """Pause after a Service's first failure; it doubles up to five minutes."""
    election: ElectionSettings = field(default_factory=ElectionSettings)
    """Which of several processes works."""
    log_level: str = "info"
    """debug | info | warning | error"""
