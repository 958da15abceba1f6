"""Settings of the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery.duration import seconds
from controlplane.scheduler.configuration import KIND, Configuration, read
from controlplane.settings import DaemonSettings


@dataclass(frozen=True)
class Settings(DaemonSettings):
    """One scheduler."""

    health_port: int = 10259
    """Port of /healthz and /metrics."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """A KubeSchedulerConfiguration (v1): profiles with their plugins, extenders, back-offs. Its clientConnection and
    leaderElection hold only where it is the settings file itself."""
    plugin_path: tuple[Path, ...] = ()
    """Directories in which plugins of one's own are looked for."""
    lease_name: str = "kube-scheduler"
    """The name of the Lease by which they agree."""

    @staticmethod
    def translated(values: dict[str, Any]) -> dict[str, Any]:
        """A file's values: ours, or upstream's own."""
        if values.get("kind") != KIND:
            return values
        asked = read(values)
        if not asked.kubeconfig:
            raise ValueError("clientConnection.kubeconfig: say where the API server is")
        election = dict(asked.election)
        times = {ours: seconds(str(election.pop(theirs))) for theirs, ours in _TIMES.items() if theirs in election}
        if election.pop("resourceLock", "leases") != "leases":
            raise ValueError('leaderElection.resourceLock: resourceLock value must be "leases"')
        known = {"leader_elect": election.pop("leaderElect", True)}
        known["namespace"] = election.pop("resourceNamespace", "kube-system")
        lease = election.pop("resourceName", "kube-scheduler")
        if election:
            raise ValueError(f"unknown field leaderElection.{sorted(election)[0]}")
        return {
            "kubeconfig": asked.kubeconfig,
            "configuration": values,
            "election": {**known, **times},
            "lease_name": lease,
        }

    def __post_init__(self) -> None:
        """ConfigurationError, which is a ValueError."""
        self.read()

    def read(self) -> Configuration:
        """What `configuration` asks for."""
        return read(self.configuration) if self.configuration else Configuration()


_TIMES = {"leaseDuration": "lease_duration", "renewDeadline": "renew_deadline", "retryPeriod": "retry_period"}
