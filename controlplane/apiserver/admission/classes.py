"""DefaultStorageClass and DefaultIngressClass: what names no class gets the cluster's default one."""

from __future__ import annotations

from collections.abc import Iterable

from apimachinery.kinds import INGRESS, INGRESS_CLASS, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS, Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.seam import Admission, Operation

_STORAGE_DEFAULTS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_INGRESS_DEFAULTS = ("ingressclass.kubernetes.io/is-default-class",)
_BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_INGRESS_CLASS = "kubernetes.io/ingress.class"


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is PERSISTENT_VOLUME_CLAIM and not subresource and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        claim = admission.obj
        assert claim is not None
        named = claim["spec"].get("storageClassName") is not None
        if named or _BETA_STORAGE_CLASS in (claim["metadata"].get("annotations") or {}):
            return
        if name := _default(self.registry.items(STORAGE_CLASS), _STORAGE_DEFAULTS):
            claim["spec"]["storageClassName"] = name


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is INGRESS and not subresource and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        ingress = admission.obj
        assert ingress is not None
        named = ingress["spec"].get("ingressClassName") is not None
        if named or _OLD_INGRESS_CLASS in (ingress["metadata"].get("annotations") or {}):
            return
        if name := _default(self.registry.items(INGRESS_CLASS), _INGRESS_DEFAULTS):
            ingress["spec"]["ingressClassName"] = name


def _default(classes: Iterable[Obj], marks: tuple[str, ...]) -> str:
    """The class marked as default, the newest of several, and of those of one second the first by name; "" for none."""
    found = (one["metadata"] for one in classes)
    marked = [one for one in found if any((one.get("annotations") or {}).get(mark) == "true" for mark in marks)]
    if not marked:
        return ""
    newest = max(metadata["creationTimestamp"] for metadata in marked)
    return min(str(metadata["name"]) for metadata in marked if metadata["creationTimestamp"] == newest)
