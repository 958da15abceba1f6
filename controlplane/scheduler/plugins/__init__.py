"""The plugins and the profile that strings them together as upstream's default does.

Owns: one predicate or score per module, each a pure function of frozen views.
Must never: read the API, the clock or another plugin's state.
Reading order: this tuple, then any module; `spread` and `interpod` are the two that look beyond one node.
"""

from __future__ import annotations

from controlplane.scheduler.extract import DEFAULT_SCHEDULER
from controlplane.scheduler.framework import Plugin, Profile
from controlplane.scheduler.plugins.binder import DefaultBinder
from controlplane.scheduler.plugins.gates import SchedulingGates
from controlplane.scheduler.plugins.images import ImageLocality
from controlplane.scheduler.plugins.interpod import InterPodAffinity
from controlplane.scheduler.plugins.node_affinity import NodeAffinity
from controlplane.scheduler.plugins.node_name import NodeName
from controlplane.scheduler.plugins.ports import NodePorts
from controlplane.scheduler.plugins.resources import BalancedAllocation, NodeResourcesFit
from controlplane.scheduler.plugins.spread import PodTopologySpread
from controlplane.scheduler.plugins.taints import TaintToleration
from controlplane.scheduler.plugins.unschedulable import NodeUnschedulable
from controlplane.scheduler.plugins.volumes import VolumeBinding, VolumeRestrictions, VolumeZone
from controlplane.scheduler.storage import Storage


def default_plugins(storage: Storage) -> tuple[Plugin, ...]:
    """Upstream's, in its order."""
    return (
        SchedulingGates(),
        NodeUnschedulable(),
        NodeName(),
        TaintToleration(),
        NodeAffinity(),
        NodePorts(),
        NodeResourcesFit(),
        VolumeRestrictions(),
        VolumeBinding(storage),
        VolumeZone(),
        PodTopologySpread(),
        InterPodAffinity(),
        BalancedAllocation(),
        ImageLocality(),
        DefaultBinder(),
    )


DEFAULT_WEIGHTS = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
}


def default_profile(name: str = DEFAULT_SCHEDULER, storage: Storage | None = None) -> Profile:
    """Upstream's default plugins and weights under a scheduler name; without `storage` there are no volumes."""
    return Profile(name, default_plugins(storage or Storage()), DEFAULT_WEIGHTS)
