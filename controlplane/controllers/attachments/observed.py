"""What the caches say of one volume: which nodes have it, and for which pods it has to be on a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from apimachinery import objects
from apimachinery.informer import Informer
from apimachinery.kinds import CSI_DRIVER, NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, VOLUME_ATTACHMENT
from apimachinery.objects import Obj, is_deleting, name, uid
from apimachinery.volumes import claims, matching
from controlplane.controllers import names, pod_status
from controlplane.controllers.attachments import volumes
from controlplane.controllers.attachments.plan import Place, place
from controlplane.controllers.attachments.volumes import Volume
from controlplane.controllers.context import Context
from controlplane.controllers.nodelifecycle.controller import BY_NODE, node_of
from controlplane.controllers.volumes.binder import BY_CLAIM

BY_VOLUME = "attachment-volume"


def volume_of(attachment: Obj) -> str:
    """The name of the persistent volume that is attached; "" for one of another kind."""
    return (attachment["spec"].get("source") or {}).get("persistentVolumeName") or ""


class Observed:
    """The caches, and since when a volume is not needed where it is: counted anew by each process, as upstream's."""

    def __init__(self, context: Context) -> None:
        informers = context.informers
        self.pods, self.nodes = informers.of(POD), informers.of(NODE)
        self.claims, self.volumes = informers.of(PERSISTENT_VOLUME_CLAIM), informers.of(PERSISTENT_VOLUME)
        self.attachments, self.drivers = informers.of(VOLUME_ATTACHMENT), informers.of(CSI_DRIVER)
        # (volume, node): the loop's time.
        self._unneeded: dict[tuple[str, str], float] = {}
        self.pods.add_index(BY_CLAIM, claims.keys_of)
        self.pods.add_index(BY_NODE, node_of)
        self.attachments.add_index(BY_VOLUME, lambda attachment: (volume_of(attachment),))
        self.attachments.add_index(BY_NODE, lambda attachment: (attachment["spec"]["nodeName"],))

    def all(self) -> tuple[Informer, ...]:
        """What has to be known before anything is done."""
        return self.pods, self.nodes, self.claims, self.volumes, self.attachments, self.drivers

    def volume(self, called: str) -> Volume | None:
        """A persistent volume, as far as it is a driver's."""
        return volumes.of(self.volumes.get(called))

    def attached_at(self, node: str) -> dict[str, Obj]:
        """The attachments of volumes on a node, by the volumes' unique names."""
        found = {}
        for attachment in self.attachments.by_index(BY_NODE, node):
            volume = self.volume(volume_of(attachment))
            if volume is not None and volumes.is_of(attachment, volume):
                found[volume.unique] = attachment
        return found

    def places(self, volume: Volume, asked: dict[str, Obj], moment: float) -> list[Place]:
        """Every node that has the volume or needs it; `asked`: by node, attachments that the cache does not show."""
        there = self.attachments.by_index(BY_VOLUME, volume.name)
        held = {**asked, **{a["spec"]["nodeName"]: a for a in there if volumes.is_of(a, volume)}}
        users: dict[str, list[Obj]] = {}
        for pod in self._users(volume):
            users.setdefault(pod["spec"]["nodeName"], []).append(pod)
        for which in [each for each in self._unneeded if each[0] == volume.name and each[1] not in held]:
            del self._unneeded[which]
        found = []
        for node in sorted({*held, *users}):
            each = place(node, self.nodes.get(node), volume, held.get(node), users.get(node, ()))
            if each.users or each.attachment is None:
                self._unneeded.pop((volume.name, node), None)
            else:
                each = replace(each, since=moment - self._unneeded.setdefault((volume.name, node), moment))
            found.append(each)
        return found

    def _users(self, volume: Volume) -> Iterator[Obj]:
        """The pods on nodes for which the volume has to be attached."""
        found = self.volumes.get(volume.name) or {"spec": {}}
        wanted = matching.claim_key(found)
        claim = self.claims.get(wanted)
        if claim is None or found["spec"]["claimRef"].get("uid") != uid(claim):
            return
        bound = (claim.get("status") or {}).get("phase") == "Bound" and claim["spec"].get("volumeName") == volume.name
        if not bound or not volumes.attaches(self.drivers.get(volume.driver)):
            return
        for pod in self.pods.by_index(BY_CLAIM, wanted):
            node = self.nodes.get(pod["spec"].get("nodeName") or "")
            ours = node is not None and names.ATTACHED_BY_CONTROLLER in objects.annotations(node)
            mine = (use for use in claims.uses(pod) if use.claim == name(claim))
            made_for_it = any(not (use.ephemeral and claims.not_made_for(claim, pod)) for use in mine)
            if ours and made_for_it and not _is_over(pod):
                yield pod


def _is_over(pod: Obj) -> bool:
    """Whether a pod needs its volumes no more: it has finished, or is going and no container of it runs."""
    if pod_status.phase(pod) in pod_status.FINAL:
        return True
    told = (pod.get("status") or {}).get("containerStatuses") or ()
    return is_deleting(pod) and all("running" not in (status.get("state") or {}) for status in told)
