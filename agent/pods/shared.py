"""What the workers of all pods work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.admission.gate import Gate
from agent.containers.cleaning import Cleaner
from agent.containers.kill import Killer
from agent.cri.cache import RuntimeCache
from agent.devices import health
from agent.devices.claims import Claims
from agent.devices.plugins import DevicePlugins
from agent.host.cgroups import Cgroups
from agent.pods.applier import Applier
from agent.probes.probers import Probes
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.status.writer import StatusSink
from agent.volumes.host import Volumes
from apimachinery.objects import Obj


@dataclass(frozen=True)
class Shared:
    settings: AgentSettings
    cache: RuntimeCache
    applier: Applier
    killer: Killer
    cleaner: Cleaner
    volumes: Volumes
    devices: Claims
    plugins: DevicePlugins
    cgroups: Cgroups | None
    probes: Probes
    statuses: StatusSink
    reporter: Reporter
    gate: Gate
    node_ips: Callable[[], Sequence[str]]

    def device_health(self, pod: Obj) -> Mapping[str, list[Obj]]:
        """How the devices of the pod's containers are, by container."""
        return health.allocated(pod, self.plugins, self.devices)


class Neighbours(Protocol):
    """The other pods of the node, as one of them sees them."""

    def holding(self, but: str) -> tuple[Obj, ...]:
        """Those whose requests and ports are taken, without the one of uid `but`."""

    async def make_room(self, uids: tuple[str, ...]) -> None:
        """End the pods of these uids for a critical one; returns when nothing of them runs."""

    def ended(self, uid: str) -> None:
        """The pod's worker is through."""
