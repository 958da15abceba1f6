"""The objects every cluster starts with, made when they are missing."""

from __future__ import annotations

import asyncio
import logging

from apimachinery import errors, kinds
from apimachinery.kinds import Kind
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Obj, User

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0

SELF = User("system:apiserver", groups=("system:masters", "system:authenticated"))
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_CLASSES = (
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)


async def make(registry: Registry, service_ip: str, advertise: str, port: int) -> None:
    """Namespaces, system priority classes and, with an address to advertise, the kubernetes Service's
    endpoints.
    """
    for name in NAMESPACES:
        await _ensure(registry, kinds.NAMESPACE, {"metadata": {"name": name}})
    for name, value, text in _CLASSES:
        obj: Obj = {"metadata": {"name": name}, "value": value, "description": text}
        await _ensure(registry, kinds.PRIORITY_CLASS, obj)
    await _ensure(registry, kinds.SERVICE, _service(service_ip, port), "default")
    if advertise:
        try:
            await _endpoints(registry, advertise, port)
        except errors.Invalid as error:
            log.warning("advertise_address %s cannot be an endpoint: %s", advertise, error.message)


async def keep(registry: Registry, service_ip: str, advertise: str, port: int) -> None:
    """Make them again whenever one is deleted, for ever."""
    gone = asyncio.Event()

    def changed(old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is None and _is_ours(old):
            gone.set()

    for kind in (kinds.PRIORITY_CLASS, kinds.SERVICE, kinds.ENDPOINT_SLICE):
        registry.subscribe(kind, changed)
    while True:
        await gone.wait()
        gone.clear()
        try:
            await make(registry, service_ip, advertise, port)
        except errors.ApiError as error:
            log.warning("objects that every cluster has are not back yet: %s", error.message)
            await asyncio.sleep(_RETRY_SECONDS)
            gone.set()


def _is_ours(obj: Obj) -> bool:
    metadata = obj["metadata"]
    place = (metadata.get("namespace", ""), metadata["name"])
    return place == ("default", "kubernetes") or metadata["name"] in (name for name, _, _ in _CLASSES)


async def _ensure(registry: Registry, kind: Kind, obj: Obj, namespace: str = "") -> None:
    obj = {"kind": kind.kind, "apiVersion": kind.api_version, **obj}
    if registry.find(kind, namespace, obj["metadata"]["name"]) is None:
        try:
            await registry.create(kind, obj, namespace, user=SELF)
        except errors.AlreadyExists:
            log.debug("%s %s was made by somebody else", kind.kind, obj["metadata"]["name"])


def _service(ip: str, port: int) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    spec = {
        "type": "ClusterIP",
        "clusterIP": ip,
        "clusterIPs": [ip],
        "ports": ports,
        "sessionAffinity": "None",
    }
    return {"metadata": {"name": "kubernetes", "labels": labels}, "spec": spec}


async def _endpoints(registry: Registry, address: str, port: int) -> None:
    """The EndpointSlice that the kubernetes Service is answered by: always what this server advertises."""
    wanted: Obj = {
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    metadata = {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}}
    await _ensure(registry, kinds.ENDPOINT_SLICE, {"metadata": metadata, **wanted}, "default")
    await registry.mutate(kinds.ENDPOINT_SLICE, "default", "kubernetes", lambda obj: {**obj, **wanted}, user=SELF)
