"""Disks that a pod names itself, without a claim, and which pods can have one at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apimachinery.objects import Obj


@dataclass(frozen=True)
class Disk:
    """`identity`: what makes it the same disk. Readers may share one where `shares`."""

    identity: tuple[str, ...]
    read_only: bool
    shares: bool

    def clashes(self, other: Disk) -> bool:
        """Whether the two cannot be on one node."""
        if self.identity != other.identity:
            return False
        return not (self.shares and self.read_only and other.read_only)


def disks(spec: Obj) -> Iterator[Disk]:
    """The disks of a PodSpec (VolumeRestrictions: GCE disks, EBS volumes, iSCSI targets, RBD images)."""
    for volume in spec.get("volumes") or ():
        if gce := volume.get("gcePersistentDisk"):
            yield Disk(("gce", gce.get("pdName", "")), bool(gce.get("readOnly")), True)
        elif ebs := volume.get("awsElasticBlockStore"):
            yield Disk(("ebs", ebs.get("volumeID", "")), False, False)
        elif iscsi := volume.get("iscsi"):
            yield Disk(("iscsi", iscsi.get("iqn", "")), bool(iscsi.get("readOnly")), True)
        elif rbd := volume.get("rbd"):
            for monitor in rbd.get("monitors") or ():
                identity = ("rbd", monitor, rbd.get("pool") or "rbd", rbd.get("image", ""))
                yield Disk(identity, bool(rbd.get("readOnly")), True)
