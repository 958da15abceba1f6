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
from apimachinery.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, key, name, reference, resource_version, uid
from apimachinery.volumes import claims, matching

# Seconds that a provisioner and the binder get for the volumes of one pod (upstream's bindTimeoutSeconds).
BIND_DEADLINE = 600.0
BY_CLASS, BY_CLAIM = "volume-class", "volume-claim"


class NotBound(Exception):
    """The volumes of a pod were not bound; the pod is to be tried again. The text says why."""


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

    def promised(self, item: str) -> tuple[str, str]:
        """The node and the volume ("" for none) that a claim was promised to a pod on its way."""
        return "", ""

    def promise(self, pod_uid: str, choice: Choice) -> None:
        """Keep what was chosen for a pod."""

    def release(self, pod_uid: str) -> None:
        """The pod has it, or will not get it."""

    async def bind(self, client: Client, pod_uid: str) -> None:
        """Write what was promised to a pod, and wait until all of it is bound. ApiError, Unreachable, NotBound."""


class InformedStorage(Storage):
    """Reads informers, which others run."""

    def __init__(self, claims_: Informer, volumes: Informer, classes: Informer) -> None:
        self.informers = (claims_, volumes, classes)
        self._claims, self._volumes, self._classes = self.informers
        self._choices: dict[str, Choice] = {}
        self._changed = asyncio.Event()
        volumes.add_index(BY_CLASS, matching.open_classes)
        volumes.add_index(BY_CLAIM, lambda volume: (matching.claim_key(volume),))
        for informer in (claims_, volumes):
            informer.add_handler(lambda _old, _new: self._wake())

    def claim(self, item: str) -> Obj | None:
        return self._claims.get(item)

    def volume(self, which: str) -> Obj | None:
        return self._volumes.get(which)

    def classes(self) -> Mapping[str, Obj]:
        return {name(found): found for found in self._classes.items()}

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

    async def bind(self, client: Client, pod_uid: str) -> None:
        choice = self._choices.get(pod_uid)
        if choice is None:
            return
        written: dict[str, int] = {}
        for item, which in choice.bindings:
            written[which] = await self._keep(client, item, which)
        for item in choice.provisions:
            written[item] = await self._select(client, item, choice.node)
        deadline = asyncio.get_running_loop().time() + BIND_DEADLINE
        while True:
            changed = self._changed
            if pod_uid not in self._choices:
                raise NotBound("pod does not exist any more")
            if self._is_done(choice, written):
                self.release(pod_uid)
                return
            if not await is_set_within(changed, deadline - asyncio.get_running_loop().time()):
                raise NotBound("binding volumes: context deadline exceeded")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _keep(self, client: Client, item: str, which: str) -> int:
        """Say on a volume that it is the claim's; the binder does the rest."""
        claim, volume = self._claims.get(item), self._volumes.get(which)
        if claim is None or volume is None:
            raise NotBound(f"persistentvolumeclaim {item} or persistentvolume {which} is gone")
        if (volume["spec"].get("claimRef") or {}).get("uid") == uid(claim):
            return _version(volume)
        marks = dict(objects.annotations(volume))
        if not matching.is_for(volume, claim):
            marks[claims.BOUND_BY_CONTROLLER] = "yes"
        kept = {**volume, "metadata": {**volume["metadata"], "annotations": marks}}
        kept["spec"] = {**volume["spec"], "claimRef": reference(claim)}
        return _version(await client.update(PERSISTENT_VOLUME, kept))

    async def _select(self, client: Client, item: str, node: str) -> int:
        """Say on a claim where its volume is to be made."""
        claim = self._claims.get(item)
        if claim is None:
            raise NotBound(f"persistentvolumeclaim {item} is gone")
        if objects.annotations(claim).get(claims.SELECTED_NODE) == node:
            return _version(claim)
        marks = {**objects.annotations(claim), claims.SELECTED_NODE: node}
        wanted = {**claim, "metadata": {**claim["metadata"], "annotations": marks}}
        return _version(await client.update(PERSISTENT_VOLUME_CLAIM, wanted))

    def _is_done(self, choice: Choice, written: Mapping[str, int]) -> bool:
        """Whether everything is bound. Raises NotBound where it will not be."""
        done = True
        for item, which in choice.bindings:
            claim, volume = self._claims.get(item), self._volumes.get(which)
            if claim is None or volume is None:
                raise NotBound(f"failed to check binding: persistentvolumeclaim {item} or its volume is gone")
            seen = _version(volume) >= written[which]
            if seen and not (volume["spec"].get("claimRef") or {}).get("uid"):
                raise NotBound(f'ClaimRef got reset for pv "{which}"')
            done = done and seen and claims.is_bound(claim)
        for item in choice.provisions:
            claim = self._claims.get(item)
            if claim is None:
                raise NotBound(f"failed to check provisioning pvc: {item} is gone")
            seen = _version(claim) >= written[item]
            if seen and objects.annotations(claim).get(claims.SELECTED_NODE) != choice.node:
                # How a provisioner that cannot do it gives the choice back.
                raise NotBound(f'provisioning failed for PVC "{name(claim)}"')
            done = done and seen and claims.is_bound(claim)
        return done


def _version(obj: Obj) -> int:
    """Versions of one kind of object grow, and are decimal numbers (KEP-5504)."""
    return int(resource_version(obj) or 0)
