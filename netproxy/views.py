"""API objects to the model. Pure; everything a dictionary may lack has its documented default here."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from netproxy.model import Endpoint, Family, PortKey, ServicePort

Obj = Mapping[str, Any]
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"
ZONE_LABEL = "topology.kubernetes.io/zone"
_DEFAULT_AFFINITY_SECONDS = 10800


_NO_LABELS: dict[str, str] = {}
_LABELS = frozenset({SERVICE_NAME_LABEL, PROXY_NAME_LABEL, HEADLESS_LABEL})
_SPEC = (
    "type",
    "clusterIP",
    "clusterIPs",
    "ports",
    "externalIPs",
    "externalTrafficPolicy",
    "internalTrafficPolicy",
    "sessionAffinity",
    "sessionAffinityConfig",
    "loadBalancerSourceRanges",
    "healthCheckNodePort",
    "externalName",
)


def trim(obj: dict[str, Any]) -> dict[str, Any]:
    """The object without what a proxy never reads."""
    meta = obj["metadata"]
    kept = _only(meta, ("namespace", "name", "resourceVersion"))
    kept["namespace"] = sys.intern(kept["namespace"])
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name in _LABELS}
    trigger = (meta.get("annotations") or {}).get(TRIGGER_ANNOTATION)
    kept["labels"] = labels or _NO_LABELS
    kept["annotations"] = {TRIGGER_ANNOTATION: trigger} if trigger else _NO_LABELS
    result = {"metadata": kept, **_only(obj, ("addressType", "ports"))}
    if "endpoints" in obj:
        parts = ("addresses", "conditions", "hints", "nodeName", "hostname")
        result["endpoints"] = [_only(endpoint, parts) for endpoint in obj["endpoints"] or ()]
    if "spec" in obj:
        result["spec"] = _only(obj["spec"] or {}, _SPEC)
        if (obj.get("status") or {}).get("loadBalancer"):
            result["status"] = {"loadBalancer": obj["status"]["loadBalancer"]}
    return result


def reference(obj: dict[str, Any]) -> dict[str, Any]:
    """Of a trimmed object what a later change needs of it: which one it is, and whose. The rest lives on as parsed."""
    meta = obj["metadata"]
    return vars(_Kept(vars(_Meta(meta["namespace"], meta["name"], meta["resourceVersion"], meta["labels"]))))


# What is kept of ten thousand objects is little more than dictionaries: those of instances of one class share the table
# of their keys, and take half of what others do.
class _Kept:
    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata


class _Meta:
    def __init__(self, namespace: str, name: str, version: str, labels: dict[str, str]) -> None:
        self.namespace, self.name, self.resourceVersion, self.labels = namespace, name, version, labels


def _only(obj: Obj, fields: Iterable[str]) -> dict[str, Any]:
    return {field: _shared(obj[field]) for field in fields if field in obj}


def _shared(value: Any) -> Any:
    """Words that stand in thousands of objects are kept once."""
    return _WORDS.get(value, value) if isinstance(value, str) else value


_WORDS = {word: word for word in ("IPv4", "IPv6", "ClusterIP", "NodePort", "LoadBalancer", "None", "Cluster", "Local")}


def proxied(obj: Obj | None) -> Obj | None:
    """The Service or slice, None when it is not for this proxy: another one's (label), or without a cluster IP."""
    labels = (obj["metadata"].get("labels") or {}) if obj else {}
    return None if PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels else obj


def service_ports(service: Obj) -> tuple[ServicePort, ...]:
    """Every port of a Service in every family it has a cluster IP in; none for headless and ExternalName
    ones."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return ()
    return tuple(
        _service_port(service, spec, port, ip)
        for ip in cluster_ips(spec)
        for port in spec.get("ports") or ()
        if port.get("protocol", "TCP") in ("TCP", "UDP", "SCTP")
    )


def cluster_ips(spec: Obj) -> tuple[str, ...]:
    """A Service's own addresses; none when it is headless."""
    ips = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    return tuple(canonical(ip) for ip in ips if ip and ip != "None")


def _service_port(service: Obj, spec: Obj, port: Obj, cluster_ip: str) -> ServicePort:
    family = family_of(cluster_ip)
    meta = service["metadata"]
    key = PortKey(meta["namespace"], meta["name"], *_port_id(port.get("name"), port.get("protocol")), family)
    load_balancer = spec.get("type") == "LoadBalancer"
    ranges = spec.get("loadBalancerSourceRanges") or () if load_balancer else ()
    external_local = spec.get("externalTrafficPolicy") == "Local"
    return ServicePort(
        key=key,
        cluster_ip=cluster_ip,
        port=port["port"],
        node_port=port.get("nodePort", 0) if spec.get("type") in ("NodePort", "LoadBalancer") else 0,
        external_ips=_addresses(spec.get("externalIPs") or (), family),
        load_balancer_ips=_addresses(_ingress(service), family) if load_balancer else (),
        source_ranges=_ranges(ranges, family),
        external_local=external_local,
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        affinity_seconds=_affinity(spec),
        health_check_node_port=spec.get("healthCheckNodePort", 0) if load_balancer and external_local else 0,
    )


def _ingress(service: Obj) -> Iterator[str]:
    status = (service.get("status") or {}).get("loadBalancer") or {}
    for ingress in status.get("ingress") or ():
        if ingress.get("ip") and ingress.get("ipMode", "VIP") == "VIP":
            yield ingress["ip"]


def _affinity(spec: Obj) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(client_ip.get("timeoutSeconds") or _DEFAULT_AFFINITY_SECONDS)


def _ranges(texts: Iterable[str], family: Family) -> tuple[str, ...]:
    """Who may come; nobody named, or one range of everybody: everybody."""
    networks = [ipaddress.ip_network(_without_zeros(text.strip()), strict=False) for text in texts]
    mine = [network for network in networks if network.version == family.value]
    return tuple(sorted({str(network) for network in mine})) if all(n.prefixlen for n in mine) else ()


def _addresses(texts: Iterable[str], family: Family) -> tuple[str, ...]:
    found = {canonical(text) for text in texts}
    return tuple(sorted(ip for ip in found if family_of(ip) is family)) if found else ()


def canonical(ip: str) -> str:
    """The one text of an address that rules are keyed by: IPv6 has many, and IPv4 had some that old objects still hold
    (leading zeros, in decimal all the same; IPv4 written as IPv6)."""
    if ":" in ip:
        six = ipaddress.IPv6Address(ip)
        return str(six.ipv4_mapped or six)
    return _without_zeros(ip)


_NUMBER = re.compile(r"\d+")


def _without_zeros(text: str) -> str:
    """An IPv4 address, or a range of them, as Python and the kernel's tools read it."""
    if (".0" in text or "/0" in text or text.startswith("0")) and ":" not in text:
        return _NUMBER.sub(lambda digits: str(int(digits[0])), text)
    return text


def family_of(ip: str) -> Family:
    """The family of an address' text."""
    return Family.IPV6 if ":" in ip else Family.IPV4


PortId = tuple[str, str]
"""(port name, protocol)"""
SliceView = Mapping[PortId, tuple[Endpoint, ...]]


def slice_owner(endpoint_slice: Obj) -> str | None:
    """namespace/name of the Service an EndpointSlice belongs to."""
    meta = endpoint_slice["metadata"]
    service = (meta.get("labels") or {}).get(SERVICE_NAME_LABEL)
    return f"{meta['namespace']}/{service}" if service else None


def slice_family(endpoint_slice: Obj) -> Family | None:
    """None for address types a proxy has no use for (FQDN)."""
    return {"IPv4": Family.IPV4, "IPv6": Family.IPV6}.get(endpoint_slice.get("addressType", ""))


def slice_endpoints(endpoint_slice: Obj) -> SliceView:
    """Endpoints by port. Only the first address counts, as the API documents: the others are the same
    endpoint's."""
    result: dict[PortId, tuple[Endpoint, ...]] = {}
    for port in endpoint_slice.get("ports") or ():
        number = port.get("port")
        if number is None:
            continue
        identity = _port_id(port.get("name"), port.get("protocol"))
        endpoints = (_endpoint(e, number) for e in endpoint_slice.get("endpoints") or () if e.get("addresses"))
        result[identity] = (*result.get(identity, ()), *endpoints)
    return result


@lru_cache(4096)
def _port_id(name: str | None, protocol: str | None) -> PortId:
    """One tuple for all that are equal: thousands of Services call their ports alike."""
    return name or "", protocol or "TCP"


def _endpoint(endpoint: Obj, port: int) -> Endpoint:
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready")
    serving = conditions.get("serving")
    hints = endpoint.get("hints") or {}
    return Endpoint(
        ip=canonical(endpoint["addresses"][0]),
        port=port,
        ready=ready is not False,
        serving=(ready is not False) if serving is None else bool(serving),
        terminating=bool(conditions.get("terminating")),
        node_name=sys.intern(endpoint.get("nodeName") or ""),
        zone_hints=_hinted(hints.get("forZones")),
        node_hints=_hinted(hints.get("forNodes")),
    )


_NO_HINTS: frozenset[str] = frozenset()


def _hinted(entries: Iterable[Obj] | None) -> frozenset[str]:
    return frozenset(entry["name"] for entry in entries) if entries else _NO_HINTS
