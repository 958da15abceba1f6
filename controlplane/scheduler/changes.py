"""What happened in the cluster that may make a refused pod fit (upstream's cluster events)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from apimachinery.objects import Obj
from controlplane.scheduler.extract import Node, Pod


class Change(enum.Enum):
    NODE_ADDED = "NodeAdd"
    NODE_ALLOCATABLE = "NodeAllocatableChange"
    NODE_LABELS = "NodeLabelChange"
    NODE_TAINTS = "NodeTaintChange"
    NODE_FEATURES = "NodeDeclaredFeatureChange"
    NODE_REMOVED = "NodeDelete"
    POD_REMOVED = "AssignedPodDelete"
    POD_PLACED = "AssignedPodAdd"
    POD_UPDATED = "AssignedPodUpdate"
    CLAIM = "PersistentVolumeClaimChange"
    VOLUME = "PersistentVolumeChange"
    STORAGE_CLASS = "StorageClassChange"
    CSI_NODE = "CSINodeChange"
    CSI_DRIVER = "CSIDriverChange"
    CAPACITY = "CSIStorageCapacityChange"
    ATTACHMENT = "VolumeAttachmentChange"
    NAMESPACE = "NamespaceChange"
    RESOURCE_CLAIM = "ResourceClaimChange"
    RESOURCE_SLICE = "ResourceSliceChange"
    DEVICE_CLASS = "DeviceClassChange"


NODE_CHANGES = frozenset((Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.NODE_LABELS, Change.NODE_TAINTS))


@dataclass(frozen=True)
class Event:
    """One change: the node as it is now, or the pod as it was (removed), is now (placed), or both (updated).

    Of what is neither, volumes say, the object as it was and as it is `now`: None before it came, or after it went."""

    change: Change
    node: Node | None = None
    old: Pod | None = None
    pod: Pod | None = None
    was: Obj | None = None
    now: Obj | None = None


def node_changes(old: Node | None, new: Node) -> list[Event]:
    """What of a node's change may help a waiting pod."""
    if old is None:
        return [Event(Change.NODE_ADDED, new)]
    kinds = {
        Change.NODE_ALLOCATABLE: old.allocatable != new.allocatable,
        Change.NODE_LABELS: old.labels != new.labels,
        Change.NODE_FEATURES: old.features != new.features,
        Change.NODE_TAINTS: (old.taints, old.unschedulable) != (new.taints, new.unschedulable),
    }
    return [Event(change, new) for change, changed in kinds.items() if changed]
