"""The plugins, a row each, and the profile that strings them together as upstream's default does.

Owns: one predicate or score per module, each a pure function of frozen views, and the table of all.
Must never: read the API, the clock or another plugin's state.
Reading order: this table, then any module; `spread` and `interpod` are the two that look beyond one node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controlplane.scheduler.devices.holdings import Devices
from controlplane.scheduler.extract import DEFAULT_SCHEDULER
from controlplane.scheduler.framework import Plugin, Profile, everywhere
from controlplane.scheduler.plugins.balance import BalancedAllocation, BalancedAllocationArgs
from controlplane.scheduler.plugins.binder import DefaultBinder
from controlplane.scheduler.plugins.dynamic_resources import DynamicResources, DynamicResourcesArgs
from controlplane.scheduler.plugins.features import NodeDeclaredFeatures
from controlplane.scheduler.plugins.gates import SchedulingGates
from controlplane.scheduler.plugins.images import ImageLocality
from controlplane.scheduler.plugins.interpod import InterPodAffinity, InterPodAffinityArgs
from controlplane.scheduler.plugins.node_affinity import NodeAffinity, NodeAffinityArgs
from controlplane.scheduler.plugins.node_name import NodeName
from controlplane.scheduler.plugins.ports import NodePorts
from controlplane.scheduler.plugins.preemption import DefaultPreemption, PreemptionArgs
from controlplane.scheduler.plugins.priority_sort import PrioritySort
from controlplane.scheduler.plugins.resources import NodeResourcesFit, NodeResourcesFitArgs
from controlplane.scheduler.plugins.spread import PodTopologySpread, SpreadArgs
from controlplane.scheduler.plugins.taints import TaintToleration
from controlplane.scheduler.plugins.unschedulable import NodeUnschedulable
from controlplane.scheduler.plugins.volume_binding import VolumeBinding, VolumeBindingArgs
from controlplane.scheduler.plugins.volume_limits import NodeVolumeLimits
from controlplane.scheduler.plugins.volume_restrictions import VolumeRestrictions
from controlplane.scheduler.plugins.volume_zone import VolumeZone
from controlplane.scheduler.storage import Storage


@dataclass(frozen=True)
class Handle:
    """What plugins are made with; `unchecked`: resources that an extender looks after."""

    storage: Storage = field(default_factory=Storage)
    unchecked: frozenset[str] = frozenset()
    devices: Devices = field(default_factory=Devices)


@dataclass(frozen=True)
class Row:
    """A plugin: how it is made of its arguments (of the type `args`, if it takes any), and its default weight."""

    name: str
    make: Callable[[Any, Handle], Plugin]
    args: type[Any] | None = None
    weight: int = 1


ROWS = (
    Row("SchedulingGates", lambda _args, _handle: SchedulingGates()),
    Row("PrioritySort", lambda _args, _handle: PrioritySort()),
    Row("NodeUnschedulable", lambda _args, _handle: NodeUnschedulable()),
    Row("NodeName", lambda _args, _handle: NodeName()),
    Row("TaintToleration", lambda _args, _handle: TaintToleration(), weight=3),
    Row("NodeAffinity", lambda args, _handle: NodeAffinity(args), NodeAffinityArgs, 2),
    Row("NodePorts", lambda _args, _handle: NodePorts()),
    Row("NodeResourcesFit", lambda args, handle: NodeResourcesFit(args, handle.unchecked), NodeResourcesFitArgs),
    Row("VolumeRestrictions", lambda _args, _handle: VolumeRestrictions()),
    Row("NodeVolumeLimits", lambda _args, handle: NodeVolumeLimits(handle.storage)),
    Row("VolumeBinding", lambda args, handle: VolumeBinding(handle.storage, args), VolumeBindingArgs),
    Row("VolumeZone", lambda _args, _handle: VolumeZone()),
    Row("PodTopologySpread", lambda args, _handle: PodTopologySpread(args), SpreadArgs, 2),
    Row("InterPodAffinity", lambda args, _handle: InterPodAffinity(args), InterPodAffinityArgs, 2),
    Row("DynamicResources", lambda args, handle: DynamicResources(handle.devices, args), DynamicResourcesArgs, 2),
    Row("DefaultPreemption", lambda args, _handle: DefaultPreemption(args), PreemptionArgs),
    Row("NodeResourcesBalancedAllocation", lambda args, _handle: BalancedAllocation(args), BalancedAllocationArgs),
    Row("ImageLocality", lambda _args, _handle: ImageLocality()),
    Row("DefaultBinder", lambda _args, _handle: DefaultBinder()),
    Row("NodeDeclaredFeatures", lambda _args, _handle: NodeDeclaredFeatures()),
)
"""All plugins, in the order in which upstream's default profile has them."""
BY_NAME = {row.name: row for row in ROWS}


def default_profile(
    name: str = DEFAULT_SCHEDULER, storage: Storage | None = None, devices: Devices | None = None
) -> Profile:
    """Upstream's default plugins and weights under a scheduler name; without `storage` there are no volumes, without
    `devices` none of those.
    """
    handle = Handle(storage or Storage(), devices=devices or Devices())
    plugins = [row.make(None if row.args is None else row.args(), handle) for row in ROWS]
    return Profile(name, everywhere(plugins), {row.name: row.weight for row in ROWS})
