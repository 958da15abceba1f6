"""Namespaces, system priority classes, the range of cluster IPs, and the kubernetes Service with its endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from apimachinery import kinds
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time
from controlplane.apiserver.maintained.keeping import Wanted, constant, restored

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


def wanted(
    service_ip: str, service_cidrs: Sequence[str], servers: Callable[[], Sequence[str]], port: int
) -> tuple[Wanted, ...]:
    """servers: the addresses of the API servers at the moment; none: the kubernetes Service has no endpoints."""
    found = [Wanted(kinds.NAMESPACE, name, constant({})) for name in NAMESPACES]
    for name, value, text in _CLASSES:
        found.append(Wanted(kinds.PRIORITY_CLASS, name, constant({"value": value, "description": text})))
    found.append(
        Wanted(kinds.SERVICE_CIDR, "kubernetes", constant({"spec": {"cidrs": [*service_cidrs]}}), status=_range_ready)
    )
    found.append(Wanted(kinds.SERVICE, "kubernetes", constant(_service(service_ip, port)), "default"))
    if servers():
        endpoints = restored(lambda: _endpoints(servers(), port), "subsets")
        found.append(Wanted(kinds.ENDPOINTS, "kubernetes", endpoints, "default"))
        endpoint_slice = restored(lambda: _slice(servers(), port), "endpoints", "ports")
        found.append(Wanted(kinds.ENDPOINT_SLICE, "kubernetes", endpoint_slice, "default"))
    return tuple(found)


def _range_ready(found: Obj, now: datetime) -> Obj:
    """The default range is ready unless somebody says that it is not."""
    conditions = (found.get("status") or {}).get("conditions") or []
    if any(c.get("type") == "Ready" and c.get("status") != "Unknown" for c in conditions):
        return found
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": format_time(now),
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    kept = [c for c in conditions if c.get("type") != "Ready"]
    return {**found, "status": {**(found.get("status") or {}), "conditions": [*kept, ready]}}


def _service(ip: str, port: int) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    spec = {
        "type": "ClusterIP",
        "clusterIP": ip,
        "ipFamilyPolicy": "SingleStack",
        "ports": ports,
        "sessionAffinity": "None",
    }
    return {"metadata": {"labels": labels}, "spec": spec}


def _endpoints(addresses: Sequence[str], port: int) -> Obj:
    """Nobody is to make slices of it: there is one already."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    return {
        "metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address} for address in addresses], "ports": ports}],
    }


def _slice(addresses: Sequence[str], port: int) -> Obj:
    return {
        "metadata": {"labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
