"""What every daemon of the control plane is told that is no API server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from controlplane.election import ElectionSettings


@dataclass(frozen=True)
class DaemonSettings:
    """The settings that they share. Each gives `health_port` upstream's default of its own."""

    kubeconfig: Path
    """Where the API server is, and who we are."""
    health_port: int
    """Port of /healthz and /metrics."""
    health_host: str = "127.0.0.1"
    """Their address."""
    tls_cert_file: Path | None = None
    """Their certificate (PEM); none: one is made at each start."""
    tls_key_file: Path | None = None
    """Its key."""
    client_ca_file: Path | None = None
    """Whose client certificates are believed there; none: tokens alone. Health is for everybody, the rest for whom the
    API server lets in."""
    election: ElectionSettings = field(default_factory=ElectionSettings)
    """Which of several processes works."""
    log_level: str = "info"
    """debug | info | warning | error"""
