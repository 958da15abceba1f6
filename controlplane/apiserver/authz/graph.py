"""Which objects belong to which node, through the pods that run there: kept current from the registry's changes.

node <- pod -> secret, configmap, serviceaccount, persistentvolumeclaim -> persistentvolume -> secret
            -> resourceclaim                 node <- volumeattachment, resourceslice
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from apimachinery import objects
from apimachinery.objects import Obj, name, namespace
from apimachinery.pods import devices
from apimachinery.volumes import claims

# (kind of object, namespace, name)
Ref = tuple[str, str, str]
SECRET, CONFIG_MAP, CLAIM, VOLUME = "secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes"
ACCOUNT, DEVICES, ATTACHMENT, SLICE = "serviceaccounts", "resourceclaims", "volumeattachments", "resourceslices"
POD = "pods"
MIRROR = "kubernetes.io/config.mirror"


@dataclass
class Graph:
    """References are counted, so that an object stays visible while one of several pods needs it."""

    _reached: dict[str, Counter[Ref]] = field(default_factory=dict)
    _volumes: dict[Ref, set[str]] = field(default_factory=dict)
    _volume_secrets: dict[str, frozenset[Ref]] = field(default_factory=dict)
    _direct: dict[Ref, str] = field(default_factory=dict)

    def reaches(self, node: str, kind: str, home: str, called: str) -> bool:
        """Whether a node may know of an object."""
        wanted = (kind, home, called)
        if self._direct.get(wanted) == node:
            return True
        found = self._reached.get(node)
        if not found:
            return False
        if found[wanted] > 0:
            return True
        if kind == VOLUME:
            return any(called in volumes for claim, volumes in self._volumes.items() if found[claim] > 0)
        if kind == SECRET:
            return any(
                wanted in self._volume_secrets.get(volume, ())
                for claim, volumes in self._volumes.items()
                if found[claim] > 0
                for volume in volumes
            )
        return False

    def pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _needs_the_same(old, new):
            # Most changes of a pod are of its status.
            return
        for pod, step in ((old, -1), (new, 1)):
            node = pod["spec"].get("nodeName") if pod else None
            if not pod or not node:
                continue
            counted = self._reached.setdefault(node, Counter())
            for ref in references(pod):
                counted[ref] += step
                if counted[ref] <= 0:
                    del counted[ref]
            if not counted:
                del self._reached[node]

    def volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        for volume, add in ((old, False), (new, True)):
            if volume is None:
                continue
            called, spec = name(volume), volume["spec"]
            if add:
                self._volume_secrets[called] = frozenset(_volume_secrets(spec))
            else:
                self._volume_secrets.pop(called, None)
            claim = spec.get("claimRef")
            if not claim:
                continue
            key = (CLAIM, claim.get("namespace", ""), claim.get("name", ""))
            held = self._volumes.setdefault(key, set())
            held.add(called) if add else held.discard(called)
            if not held:
                del self._volumes[key]

    def attachment_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._place(ATTACHMENT, old, new)

    def slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._place(SLICE, old, new)

    def _place(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if old is not None:
            self._direct.pop((kind, "", name(old)), None)
        if new is not None and new["spec"].get("nodeName"):
            self._direct[(kind, "", name(new))] = new["spec"]["nodeName"]


def _needs_the_same(old: Obj, new: Obj) -> bool:
    if not old["spec"].get("nodeName") and not new["spec"].get("nodeName"):
        return True
    if old["spec"] != new["spec"]:
        return False
    is_mirror = [MIRROR in objects.annotations(pod) for pod in (old, new)]
    return is_mirror[0] == is_mirror[1] and list(_claims(old)) == list(_claims(new))


def _claims(pod: Obj) -> Iterator[str]:
    """The ResourceClaims of a pod that there are: those of its spec, and the one for its extended resources."""
    yield from (use.claim for use in devices.uses(pod) if use.claim)
    if made := devices.extended(pod):
        yield made


def references(pod: Obj) -> Iterator[Ref]:
    """Everything a pod gives its node the right to read; a mirror pod gives nothing but itself."""
    yield POD, namespace(pod), name(pod)
    if MIRROR not in objects.annotations(pod):
        yield from needed(pod)


def needed(pod: Obj) -> Iterator[Ref]:
    """What a pod cannot run without."""
    home, spec = namespace(pod), pod["spec"]
    if account := spec.get("serviceAccountName"):
        yield ACCOUNT, home, account
    for secret in spec.get("imagePullSecrets") or ():
        yield SECRET, home, secret.get("name", "")
    for field_name in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field_name) or ():
            yield from _environment(container, home)
    for volume in spec.get("volumes") or ():
        yield from _volume(volume, home)
    for use in claims.uses(pod):
        yield CLAIM, home, use.claim
    for claim in _claims(pod):
        yield DEVICES, home, claim


def _environment(container: Obj, home: str) -> Iterator[Ref]:
    for source in container.get("envFrom") or ():
        for key, kind in (("secretRef", SECRET), ("configMapRef", CONFIG_MAP)):
            if source.get(key):
                yield kind, home, source[key].get("name", "")
    for variable in container.get("env") or ():
        value = variable.get("valueFrom") or {}
        for key, kind in (("secretKeyRef", SECRET), ("configMapKeyRef", CONFIG_MAP)):
            if value.get(key):
                yield kind, home, value[key].get("name", "")


def _volume(volume: Obj, home: str) -> Iterator[Ref]:
    for source in (volume.get("projected") or {}).get("sources") or ():
        for key, kind in (("secret", SECRET), ("configMap", CONFIG_MAP)):
            if source.get(key):
                yield kind, home, source[key].get("name", "")
    if "secret" in volume:
        yield SECRET, home, volume["secret"].get("secretName", "")
    if "configMap" in volume:
        yield CONFIG_MAP, home, volume["configMap"].get("name", "")
    for source in volume.values():
        if isinstance(source, dict):
            for key in ("secretRef", "nodePublishSecretRef"):
                if source.get(key):
                    yield SECRET, home, source[key].get("name", "")
    if (volume.get("azureFile") or {}).get("secretName"):
        yield SECRET, home, volume["azureFile"]["secretName"]


def _volume_secrets(spec: Obj) -> Iterator[Ref]:
    """Secrets that mounting a persistent volume needs."""
    csi = spec.get("csi") or {}
    for key in ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"):
        if csi.get(key):
            yield SECRET, csi[key].get("namespace", ""), csi[key].get("name", "")
    for source in spec.values():
        if isinstance(source, dict) and isinstance(source.get("secretRef"), dict):
            yield SECRET, source["secretRef"].get("namespace", ""), source["secretRef"].get("name", "")
