"""Settings of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from controlplane.election import ElectionSettings
from controlplane.scheduler.extract import DEFAULT_SCHEDULER


@dataclass(frozen=True)
class Settings:
    """``kubeconfig`` says where the API server is and who we are; ``profiles`` are the scheduler names we
    answer to.
    """

    kubeconfig: Path
    health_host: str = "127.0.0.1"
    health_port: int = 10259
    log_level: str = "info"
    profiles: tuple[str, ...] = (DEFAULT_SCHEDULER,)
    election: ElectionSettings = field(default_factory=ElectionSettings)
