"""Settings of a cloud controller manager; the defaults are upstream's."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.settings import DaemonSettings


@dataclass(frozen=True)
class Settings(DaemonSettings):
    """One process of a cloud's loops; periods are seconds."""

    health_port: int = 10258
    """Port of /healthz and /metrics."""
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
    cloud_call_deadline: float = 300.0
    """What the cloud has not answered by then has failed, and is tried again."""
