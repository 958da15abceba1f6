"""What is odd about objects, kind by kind."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

from apimachinery import errors
from apimachinery.objects import Obj
from controlplane.apiserver.advice import pods

Advice = Callable[[Obj, "Obj | None"], Sequence[str]]

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_USE_CLASS = 'deprecated since v1.8; use "storageClassName" attribute instead'
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_HINTS, _TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_STATIC = ".static.k8s.io"
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


def template(*path: str) -> Advice:
    """Advice on the pod template that a kind keeps at this path, unless an update left it as it was."""
    where = ".".join(path)

    def advise(obj: Obj, old: Obj | None) -> Sequence[str]:
        value = _at(obj, path)
        return () if old is not None and value == _at(old, path) else pods.template(where, value)

    return advise


def _at(obj: Obj, path: Sequence[str]) -> Any:
    value: Any = obj
    for step in path:
        value = (value or {}).get(step)
    return value


def service(obj: Obj, old: Obj | None) -> Sequence[str]:
    spec, annotations = obj["spec"], obj["metadata"].get("annotations") or {}
    kind, outside = spec.get("type"), spec.get("externalIPs")
    headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    found = []
    if _HINTS in annotations:
        found.append(f"annotation {_HINTS} is deprecated, please use {_TOPOLOGY} instead")
    if headless:
        if spec.get("loadBalancerIP"):
            found.append("spec.loadBalancerIP is ignored for headless services")
        if outside:
            found.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity") != "None":
            found.append("spec.SessionAffinity is ignored for headless services")
    elif outside and kind != "ExternalName":
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if outside and kind == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("externalName") and kind != "ExternalName":
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def service_account(obj: Obj, old: Obj | None) -> Sequence[str]:
    if _MOUNTABLE not in (obj["metadata"].get("annotations") or {}):
        return ()
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    return (f"metadata.annotations[{_MOUNTABLE}]: {text}",)


def secret(obj: Obj, old: Obj | None) -> Sequence[str]:
    """A pair of certificate and key that TLS could not use."""
    if obj.get("type") != "kubernetes.io/tls":
        return ()
    data = obj.get("data") or {}
    for key, what in (("tls.crt", "certificate"), ("tls.key", "key")):
        if not _PEM.search(base64.b64decode(data.get(key) or "")):
            return (f"tls: failed to find any PEM data in {what} input",)
    return ()


def claim(obj: Obj, old: Obj | None) -> Sequence[str]:
    annotated = _BETA_CLASS in (obj["metadata"].get("annotations") or {})
    return (f"metadata.annotations[{_BETA_CLASS}]: {_USE_CLASS}",) if annotated else ()


def volume(obj: Obj, old: Obj | None) -> Sequence[str]:
    found = list(claim(obj, old))
    if obj["spec"].get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
            "recommended approach is to use dynamic provisioning."
        )
    return found + [f"spec.{kind}: {text}" for kind, text in pods.VOLUMES.items() if obj["spec"].get(kind) is not None]


def driver(obj: Obj, old: Obj | None) -> Sequence[str]:
    """Tokens are handed over where they may be logged, unless a driver says that it reads them elsewhere."""
    spec = obj["spec"]
    if not spec.get("tokenRequests") or spec.get("serviceAccountTokenInSecrets") is not None:
        return ()
    text = (
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
        "possible logging of tokens in volume attributes"
    )
    return (text,)


def endpoint_slice(obj: Obj, old: Obj | None) -> Sequence[str]:
    return ("spec.addressType: FQDN endpoints are deprecated",) if obj.get("addressType") == "FQDN" else ()


def reserved_name(obj: Obj, old: Obj | None) -> Sequence[str]:
    """Names that configurations of admission on disk will have."""
    if not (obj["metadata"].get("name") or "").endswith(_STATIC):
        return ()
    text = "are reserved for static manifest-based configurations and cannot be managed via the API"
    return (f'metadata.name: names ending with "{_STATIC}" {text}',)


def resource_slice(obj: Obj, old: Obj | None) -> Sequence[str]:
    driver = obj["spec"].get("driver") or ""
    if driver == driver.lower():
        return ()
    text = f"driver names should be lowercase; {errors.quoted(driver)} contains uppercase characters"
    return (f"spec.driver: {text}",)
