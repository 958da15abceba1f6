"""How fast nodes of a zone may be emptied. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apimachinery.objects import Obj, labels
from controlplane.controllers import names
from controlplane.controllers.nodelifecycle.taints import ready_status
from controlplane.controllers.settings import Settings


def zone_of(node: Obj) -> str:
    """Region and zone in one string; nodes that name neither share one zone."""
    return f"{labels(node).get(names.REGION, '')}/{labels(node).get(names.ZONE, '')}"


@dataclass(frozen=True)
class Zone:
    """`rate`: nodes per second that may begin to be emptied."""

    total: int
    unready: int
    rate: float

    @property
    def is_lost(self) -> bool:
        return self.total > 0 and self.unready == self.total


def rates(nodes: Sequence[Obj], settings: Settings) -> Mapping[str, Zone]:
    """Upstream's rules: a few silent nodes are emptied at the normal rate, too many at a slow one or (in a
    small cluster) not at all; one lost zone among others at the normal rate; when every zone is lost,
    none."""
    groups: dict[str, list[Obj]] = {}
    for node in nodes:
        groups.setdefault(zone_of(node), []).append(node)
    zones = {}
    for key, members in groups.items():
        unready = sum(ready_status(node) != "True" for node in members)
        zones[key] = Zone(len(members), unready, _rate(len(members), unready, settings))
    if zones and all(zone.is_lost for zone in zones.values()):
        return {key: Zone(zone.total, zone.unready, 0.0) for key, zone in zones.items()}
    return zones


def _rate(total: int, unready: int, settings: Settings) -> float:
    if unready == total or unready <= 2 or unready / total < settings.unhealthy_zone_threshold:
        return settings.eviction_rate
    return settings.secondary_eviction_rate if total > settings.large_cluster_size else 0.0
