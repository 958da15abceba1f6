"""What attaching has to know of a persistent volume. Source: KEP-557 (CSI), the names as upstream's nodes know them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from apimachinery.objects import Obj, name

_MANY = frozenset(("ReadWriteMany", "ReadOnlyMany"))


@dataclass(frozen=True)
class Volume:
    """A volume of a driver. `shared`: several nodes may have it at a time."""

    name: str
    driver: str
    handle: str
    shared: bool

    @property
    def unique(self) -> str:
        """As nodes call it, in volumesInUse and volumesAttached."""
        return f"kubernetes.io/csi/{self.driver}^{self.handle}"

    def attachment(self, node: str) -> str:
        """The name of its VolumeAttachment on a node: drivers and nodes look it up by that."""
        return f"csi-{hashlib.sha256(f'{self.handle}{self.driver}{node}'.encode()).hexdigest()}"


def of(volume: Obj | None) -> Volume | None:
    """A persistent volume, as far as it is a driver's."""
    source = volume["spec"].get("csi") if volume is not None else None
    if volume is None or not source:
        return None
    modes = volume["spec"].get("accessModes") or ()
    return Volume(name(volume), source["driver"], source["volumeHandle"], not modes or not _MANY.isdisjoint(modes))


def attaches(driver: Obj | None) -> bool:
    """Whether a driver wants to be asked at all; one that has not said so does. `driver`: its CSIDriver."""
    return driver is None or driver["spec"].get("attachRequired") is not False


def is_of(attachment: Obj, volume: Volume) -> bool:
    """Whether an attachment is the volume's own on its node; others are made and removed by whoever made them."""
    return name(attachment) == volume.attachment(attachment["spec"]["nodeName"])


def made(volume: Volume, node: str) -> Obj:
    """The VolumeAttachment that asks for a volume on a node."""
    spec = {"attacher": volume.driver, "nodeName": node, "source": {"persistentVolumeName": volume.name}}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment"}
    return {**kind, "metadata": {"name": volume.attachment(node)}, "spec": spec}
