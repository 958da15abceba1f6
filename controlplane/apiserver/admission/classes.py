"""DefaultStorageClass and DefaultIngressClass: what names no class gets the cluster's default one."""

from __future__ import annotations

from apimachinery.kinds import INGRESS, INGRESS_CLASS, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS, Kind
from apimachinery.volumes import claims
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation

_INGRESS_DEFAULTS = ("ingressclass.kubernetes.io/is-default-class",)
_OLD_INGRESS_CLASS = "kubernetes.io/ingress.class"


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is PERSISTENT_VOLUME_CLAIM and not subresource and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        claim = admission.obj
        assert claim is not None
        if claims.has_class(claim):
            return
        if name := claims.default_class(self.registry.items(STORAGE_CLASS)):
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
        if name := claims.default_class(self.registry.items(INGRESS_CLASS), _INGRESS_DEFAULTS):
            ingress["spec"]["ingressClassName"] = name
