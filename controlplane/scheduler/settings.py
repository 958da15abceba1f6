"""Settings of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from controlplane.election import ElectionSettings
from controlplane.scheduler.extract import DEFAULT_SCHEDULER


@dataclass(frozen=True)
class Settings:
    """One scheduler."""

    kubeconfig: Path
    """Where the API server is, and who we are."""
    health_host: str = "127.0.0.1"
    """Address of /healthz and /metrics."""
    health_port: int = 10259
    """Their port."""
    tls_cert_file: Path | None = None
    """Their certificate (PEM); none: one is made at each start."""
    tls_key_file: Path | None = None
    """Its key."""
    client_ca_file: Path | None = None
    """Whose client certificates are believed there; none: tokens alone. Health is for everybody, the rest for whom the
    API server lets in."""
    profiles: tuple[str, ...] = (DEFAULT_SCHEDULER,)
    """The spec.schedulerName values we answer to."""
    election: ElectionSettings = field(default_factory=ElectionSettings)
    """Which of several schedulers works."""
    log_level: str = "info"
    """debug | info | warning | error"""
