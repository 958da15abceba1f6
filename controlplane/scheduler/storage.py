"""Claims, volumes and classes as the scheduler sees them, with what it has promised of them to pods on their way.

A promise stands from the decision until the API shows it, so that two pods decided on in a row never get one volume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apimachinery import objects
from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import (
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    STORAGE_CLASS,
    VOLUME_ATTACHMENT,
)
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, key, name, reference, uid, version
from apimachinery.quantity import Quantity, parse
from apimachinery.selectors import from_label_selector
from apimachinery.volumes import claims, matching
from controlplane.scheduler.changes import Change
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.refused import Refused

# What is read, and what a change of each is to a waiting pod.
KINDS = {
    PERSISTENT_VOLUME_CLAIM: Change.CLAIM,
    PERSISTENT_VOLUME: Change.VOLUME,
    STORAGE_CLASS: Change.STORAGE_CLASS,
    CSI_NODE: Change.CSI_NODE,
    CSI_DRIVER: Change.CSI_DRIVER,
    CSI_STORAGE_CAPACITY: Change.CAPACITY,
    VOLUME_ATTACHMENT: Change.ATTACHMENT,
}
BY_CLASS, BY_CLAIM, BY_NODE = "volume-class", "volume-claim", "node"

Attached = tuple[str, str]
"""A CSI driver, and what it knows a volume by."""


@dataclass(frozen=True)
class Choice:
    """What a pod gets on a node: volumes for claims (by their keys), and claims that are to be provisioned there."""

    node: str = ""
    bindings: tuple[tuple[str, str], ...] = ()
    provisions: tuple[str, ...] = ()


class Storage:
    """What there is. This one knows of nothing."""

    def claim(self, item: str) -> Obj | None:
        """The claim of that key."""
        return None

    def volume(self, which: str) -> Obj | None:
        return None

    def classes(self) -> Mapping[str, Obj]:
        return {}

    def candidates(self, claim: Obj) -> Iterable[Obj]:
        """Volumes that may suit an unbound claim and are promised to no other."""
        return ()

    def claims_of(self, pod: Pod) -> list[Obj]:
        """The claims of a pod that there are."""
        found = (self.claim(f"{pod.namespace}/{use.claim}") for use in pod.claims)
        return [claim for claim in found if claim is not None]

    def volume_limits(self, node: str) -> Mapping[str, int]:
        """How many volumes of each CSI driver a node can have, where the driver says."""
        return {}

    def attached(self, node: str) -> frozenset[Attached]:
        """The volumes that are attached to a node, also those that no pod there uses (any more)."""
        return frozenset()

    def is_driver(self, driver: str) -> bool:
        """Whether a provisioner is a CSI driver that some node has."""
        return False

    def has_capacity(self, claim: Obj, labels: Mapping[str, str]) -> bool:
        """Whether a volume can be made for the claim on a node with these labels, as far as its driver tells
        (KEP-1472).
        """
        return True

    def promised(self, item: str) -> tuple[str, str]:
        """The node and the volume ("" for none) that a claim was promised to a pod on its way."""
        return "", ""

    def promise(self, pod_uid: str, choice: Choice) -> None:
        """Keep what was chosen for a pod."""

    def release(self, pod_uid: str) -> None:
        """The pod has it, or will not get it."""

    async def bind(self, client: Client, pod_uid: str, timeout: float) -> None:
        """Write what was promised to a pod, and wait `timeout` seconds until all of it is bound. ApiError,
        Unreachable, Refused.
        """


class InformedStorage(Storage):
    """Reads informers, which others run: one of each of KINDS, in that order."""

    def __init__(self, *informers: Informer) -> None:
        self.informers = informers
        self._claims, self._volumes, self._classes, self._csi_nodes, self._drivers, *others = informers
        self._capacities, self._attachments = others
        self._choices: dict[str, Choice] = {}
        self._changed = asyncio.Event()
        self._limits: dict[str, Mapping[str, int]] = {}
        self._csi_nodes.add_handler(self._on_csi_node)
        self._volumes.add_index(BY_CLASS, matching.open_classes)
        self._volumes.add_index(BY_CLAIM, lambda volume: (matching.claim_key(volume),))
        self._attachments.add_index(BY_NODE, lambda attachment: (attachment["spec"].get("nodeName") or "",))
        for informer in (self._claims, self._volumes):
            informer.add_handler(lambda _old, _new: self._wake())

    def claim(self, item: str) -> Obj | None:
        return self._claims.get(item)

    def volume(self, which: str) -> Obj | None:
        return self._volumes.get(which)

    def classes(self) -> Mapping[str, Obj]:
        return {name(found): found for found in self._classes.items()}

    def volume_limits(self, node: str) -> Mapping[str, int]:
        return self._limits.get(node, {})

    def attached(self, node: str) -> frozenset[Attached]:
        found = set()
        for attachment in self._attachments.by_index(BY_NODE, node):
            spec = attachment["spec"]
            volume = self._volumes.get((spec.get("source") or {}).get("persistentVolumeName") or "")
            csi = volume["spec"].get("csi") if volume is not None else None
            if csi and spec.get("attacher"):
                found.add((str(spec["attacher"]), str(csi.get("volumeHandle") or "")))
        return frozenset(found)

    def is_driver(self, driver: str) -> bool:
        return self._drivers.get(driver) is not None or any(driver in limits for limits in self._limits.values())

    def has_capacity(self, claim: Obj, labels: Mapping[str, str]) -> bool:
        which = claims.class_of(claim)
        driver = self._drivers.get((self._classes.get(which) or {}).get("provisioner") or "")
        if not ((driver or {}).get("spec") or {}).get("storageCapacity"):
            return True
        size = matching.requested(claim)
        return any(c.get("storageClassName") == which and _suffices(c, size, labels) for c in self._capacities.items())

    def _on_csi_node(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None:
            self._limits.pop(name(old), None)
        if new is not None:
            self._limits[name(new)] = limits(new)

    def candidates(self, claim: Obj) -> Iterable[Obj]:
        taken = {volume for choice in self._choices.values() for _, volume in choice.bindings}
        found = {name(v): v for v in self._volumes.by_index(BY_CLAIM, key(claim))}
        found |= {name(v): v for v in self._volumes.by_index(BY_CLASS, claims.class_of(claim))}
        return [volume for which, volume in found.items() if which not in taken]

    def promised(self, item: str) -> tuple[str, str]:
        for choice in self._choices.values():
            if item in choice.provisions:
                return choice.node, ""
            if volume := dict(choice.bindings).get(item):
                return choice.node, volume
        return "", ""

    def promise(self, pod_uid: str, choice: Choice) -> None:
        if choice.bindings or choice.provisions:
            self._choices[pod_uid] = choice

    def release(self, pod_uid: str) -> None:
        if self._choices.pop(pod_uid, None) is not None:
            self._wake()

    async def bind(self, client: Client, pod_uid: str, timeout: float) -> None:
        choice = self._choices.get(pod_uid)
        if choice is None:
            return
        written: dict[str, int] = {}
        for item, which in choice.bindings:
            written[which] = await self._keep(client, item, which)
        for item in choice.provisions:
            written[item] = await self._select(client, item, choice.node)
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            changed = self._changed
            if pod_uid not in self._choices:
                raise Refused("pod does not exist any more")
            if self._is_done(choice, written):
                self.release(pod_uid)
                return
            if not await is_set_within(changed, deadline - asyncio.get_running_loop().time()):
                raise Refused("binding volumes: context deadline exceeded")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _keep(self, client: Client, item: str, which: str) -> int:
        """Say on a volume that it is the claim's; the binder does the rest."""
        claim, volume = self._claims.get(item), self._volumes.get(which)
        if claim is None or volume is None:
            raise Refused(f"persistentvolumeclaim {item} or persistentvolume {which} is gone")
        if (volume["spec"].get("claimRef") or {}).get("uid") == uid(claim):
            return version(volume)
        marks = dict(objects.annotations(volume))
        if not matching.is_for(volume, claim):
            marks[claims.BOUND_BY_CONTROLLER] = "yes"
        kept = {**volume, "metadata": {**volume["metadata"], "annotations": marks}}
        kept["spec"] = {**volume["spec"], "claimRef": reference(claim)}
        return version(await client.update(PERSISTENT_VOLUME, kept))

    async def _select(self, client: Client, item: str, node: str) -> int:
        """Say on a claim where its volume is to be made."""
        claim = self._claims.get(item)
        if claim is None:
            raise Refused(f"persistentvolumeclaim {item} is gone")
        if objects.annotations(claim).get(claims.SELECTED_NODE) == node:
            return version(claim)
        marks = {**objects.annotations(claim), claims.SELECTED_NODE: node}
        wanted = {**claim, "metadata": {**claim["metadata"], "annotations": marks}}
        return version(await client.update(PERSISTENT_VOLUME_CLAIM, wanted))

    def _is_done(self, choice: Choice, written: Mapping[str, int]) -> bool:
        """Whether everything is bound. Raises Refused where it will not be."""
        done = True
        for item, which in choice.bindings:
            claim, volume = self._claims.get(item), self._volumes.get(which)
            if claim is None or volume is None:
                raise Refused(f"failed to check binding: persistentvolumeclaim {item} or its volume is gone")
            seen = version(volume) >= written[which]
            if seen and not (volume["spec"].get("claimRef") or {}).get("uid"):
                raise Refused(f'ClaimRef got reset for pv "{which}"')
            done = done and seen and claims.is_bound(claim)
        for item in choice.provisions:
            claim = self._claims.get(item)
            if claim is None:
                raise Refused(f"failed to check provisioning pvc: {item} is gone")
            seen = version(claim) >= written[item]
            if seen and objects.annotations(claim).get(claims.SELECTED_NODE) != choice.node:
                # How a provisioner that cannot do it gives the choice back.
                raise Refused(f'provisioning failed for PVC "{name(claim)}"')
            done = done and seen and claims.is_bound(claim)
        return done


def limits(csi_node: Obj) -> dict[str, int]:
    """How many volumes of each driver a CSINode allows, where the driver says."""
    drivers = (csi_node.get("spec") or {}).get("drivers") or ()
    counts = {d["name"]: (d.get("allocatable") or {}).get("count") for d in drivers}
    return {driver: count for driver, count in counts.items() if count is not None}


def _suffices(capacity: Obj, size: Quantity, labels: Mapping[str, str]) -> bool:
    """Whether what a CSIStorageCapacity tells of is reached from a node with these labels, and is enough."""
    topology = capacity.get("nodeTopology")
    if topology is None or not from_label_selector(topology).matches(labels):
        return False
    limit = capacity.get("maximumVolumeSize") or capacity.get("capacity")
    return limit is not None and parse(limit) >= size
