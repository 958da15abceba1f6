"""Services: their addresses, ports and traffic, and what a load balancer reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from apimachinery import errors, formats
from apimachinery.addresses import address as read
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.containers import PROTOCOLS
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import cidr, each, ip, port, port_number
from controlplane.apiserver.rules.words import changed, enum, hook, labels, strict_form

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_ONE_DAY = 86400
_STANDS = "may not change once set"


def _headless(spec: Obj) -> bool:
    return _listed(spec) == ["None"]


def _listed(spec: Obj) -> list[str]:
    """clusterIPs, which whoever writes clusterIP alone need not repeat."""
    first = spec.get("clusterIP")
    return spec.get("clusterIPs") or ([first] if first else [])


# --- addresses ---


def addresses(spec: Obj, was: Obj | None) -> Iterator[FieldError]:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy as a client may write them. was: the spec before."""
    if spec.get("type") == "ExternalName":
        return
    first, listed, path = spec.get("clusterIP") or "", _listed(spec), "spec.clusterIPs"
    if first and listed[0] != first:
        yield errors.invalid(path, listed, "first value must match `clusterIP`")
    elif listed and not first:
        yield errors.invalid(path, listed, "must be empty when `clusterIP` is not specified")
    yield from _families(spec)
    wrong = list(_each_address(listed, (was or {}).get("clusterIPs") or ()))
    yield from wrong
    if len(listed) > 2:
        yield errors.invalid(path, listed, "may only hold up to 2 values")
    if wrong or listed == ["None"]:
        return
    versions = [found.version for address in listed if (found := read(address)) is not None]
    if len(listed) > 1 and len(set(versions)) != 2:
        yield errors.invalid(path, listed, "may specify no more than one IP for each IP family")
    for index, (version, family) in enumerate(zip(versions, spec.get("ipFamilies") or (), strict=False)):
        if family in ("IPv4", "IPv6") and family != f"IPv{version}":
            text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield errors.invalid(f"{path}[{index}]", listed[index], text)


def _families(spec: Obj) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in ("IPv4", "IPv6"):
            yield errors.not_supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
        if family in seen:
            yield errors.duplicate(f"spec.ipFamilies[{index}]", family)
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _POLICIES:
        yield errors.not_supported("spec.ipFamilyPolicy", policy, _POLICIES)


def _each_address(listed: list[str], known: Sequence[str]) -> Iterator[FieldError]:
    for index, address in enumerate(listed):
        if index == 0 and address == "None":
            if len(listed) > 1:
                yield errors.invalid("spec.clusterIPs", listed, "'None' must be the first and only value")
            continue
        if address not in known:
            yield from ip(f"spec.clusterIPs[{index}]", address)


def _addresses(spec: Obj, at: Place) -> Iterator[FieldError]:
    return addresses(spec, at.old)


def special(path: str, text: str) -> Iterator[FieldError]:
    """Addresses that cannot mean another machine."""
    found = read(text)
    if found is None:
        yield errors.invalid(path, text, "must be a valid IP address")
        return
    if found.is_unspecified:
        yield errors.invalid(path, text, f"may not be unspecified ({text})")
    if found.is_loopback:
        yield errors.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if found.is_link_local:
        yield errors.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    start = found.packed[:3]
    if start == b"\xe0\0\0" if found.version == 4 else start[0] == 255 and start[1] & 15 == 2:
        told = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        yield errors.invalid(path, text, told)


# --- the spec ---


def _annotations(service: Obj, at: Place) -> Iterator[FieldError]:
    values = service["metadata"].get("annotations") or {}
    if _HINTS in values and _MODE in values and values[_HINTS] != values[_MODE]:
        text = f"must match annotations[{_HINTS}] when both are specified"
        yield errors.invalid(f"metadata.annotations[{_MODE}]", values[_MODE], text)


def _kind(spec: Obj, at: Place) -> Iterator[FieldError]:
    kind = spec.get("type")
    if not spec.get("ports") and not _headless(spec) and kind != "ExternalName":
        yield errors.required("spec.ports")
    if kind in ("LoadBalancer", "NodePort") and _headless(spec):
        yield errors.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if _listed(spec) if field == "clusterIPs" else spec.get(field):
            yield errors.field_forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        yield errors.required("spec.externalName")
    else:
        yield from each("spec.externalName", name, formats.dns1123_subdomain(name))


def _port_name(entry: Obj, at: Place) -> Iterator[FieldError]:
    title = entry.get("name") or ""
    if title:
        yield from each(at.to("name"), title, formats.dns1123_label(title))
        if title in at.seen("names"):
            yield errors.duplicate(at.to("name"), title)
        at.seen("names").add(title)
    elif len(at.above().value[at.name]) > 1:
        yield errors.required(at.to("name"))


def _port_number(entry: Obj, at: Place) -> list[FieldError]:
    return port_number(at.to("port"), entry.get("port") or 0)


def _target(entry: Obj, at: Place) -> list[FieldError]:
    return port(at.to("targetPort"), entry.get("targetPort"))


def _affinity(spec: Obj, at: Place) -> Iterator[FieldError]:
    config, where = spec.get("sessionAffinityConfig"), at.to("sessionAffinityConfig")
    if spec.get("sessionAffinity") == "None" and config is not None:
        yield errors.field_forbidden(where, "must not be set when session affinity is None")
    if spec.get("sessionAffinity") != "ClientIP":
        return
    text = "when session affinity type is ClientIP"
    if config is None:
        yield errors.required(where, text)
        return
    client = config.get("clientIP")
    if client is None:
        yield errors.required(f"{where}.clientIP", text)
        return
    seconds, where = client.get("timeoutSeconds"), f"{where}.clientIP.timeoutSeconds"
    if seconds is None:
        yield errors.required(where, text)
    elif not 0 < seconds <= _ONE_DAY:
        yield errors.invalid(where, seconds, f"must be greater than 0 and less than {_ONE_DAY}")


def _external_ips(spec: Obj, at: Place) -> Iterator[FieldError]:
    known = (at.old or {}).get("externalIPs") or ()
    for index, address in enumerate(spec["externalIPs"] or ()):
        where = f"{at.to('externalIPs')}[{index}]"
        wrong = [] if address in known else ip(where, address)
        yield from wrong or special(where, address)


def _node_ports(spec: Obj, at: Place) -> Iterator[FieldError]:
    listed = spec["ports"] or ()
    if spec.get("type") == "ClusterIP":
        for index, entry in enumerate(listed):
            if entry.get("nodePort"):
                where = f"{at.to('ports')}[{index}].nodePort"
                yield errors.field_forbidden(where, "may not be used when `type` is 'ClusterIP'")
    taken: set[tuple[Any, Any]] = set()
    for index, entry in enumerate(listed):
        key = (entry.get("protocol"), entry.get("nodePort"))
        if entry.get("nodePort"):
            if key in taken:
                yield errors.duplicate(f"{at.to('ports')}[{index}].nodePort", entry["nodePort"])
            taken.add(key)
    taken = set()
    for index, entry in enumerate(listed):
        key = (entry.get("protocol"), entry.get("port"))
        if key in taken:
            shown = struct("core.v1.ServicePort", {"protocol": key[0] or "", "port": key[1] or 0})
            yield errors.duplicate(f"{at.to('ports')}[{index}]", shown)
        taken.add(key)


def _source_ranges(spec: Obj, at: Place) -> Iterator[FieldError]:
    """In their field, or in the annotation that was there before it."""
    balanced, listed = spec.get("type") == "LoadBalancer", spec.get("loadBalancerSourceRanges") or []
    annotations = at.above().value["metadata"].get("annotations") or {}
    if listed:
        where = at.to("LoadBalancerSourceRanges")
        if not balanced:
            yield errors.field_forbidden(where, _ONLY_BALANCED)
        known = {text.strip() for text in (at.old or {}).get("loadBalancerSourceRanges") or ()}
        for index, text in enumerate(listed):
            if text.strip() not in known:
                yield from cidr(f"{where}[{index}]", text.strip())
    elif _RANGES in annotations:
        where, text = f"metadata.annotations[{_RANGES}]", annotations[_RANGES]
        if not balanced:
            yield errors.field_forbidden(where, _ONLY_BALANCED)
        before = ((at.about.old or {}).get("metadata") or {}).get("annotations") or {}
        if before.get(_RANGES) != text and text.strip():
            for part in text.strip().split(","):
                yield from cidr(where, part.strip())


def _balancer(spec: Obj, at: Place) -> Iterator[FieldError]:
    balanced = spec.get("type") == "LoadBalancer"
    given, chosen = spec.get("allocateLoadBalancerNodePorts"), spec.get("loadBalancerClass")
    if given is not None and not balanced:
        yield errors.field_forbidden(at.to("allocateLoadBalancerNodePorts"), _ONLY_BALANCED)
    if given is None and balanced:
        yield errors.required("allocateLoadBalancerNodePorts")
    yield from _class_form(chosen, balanced)


def _class_form(chosen: str | None, balanced: bool) -> Iterator[FieldError]:
    if chosen is not None and balanced:
        yield from each("spec.loadBalancerClass", chosen, formats.qualified_name(chosen))
    elif chosen is not None:
        yield errors.field_forbidden("spec.loadBalancerClass", _ONLY_BALANCED)


def _checked(spec: Obj) -> bool:
    return bool(spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local")


def _outside(spec: Obj, at: Place) -> Iterator[FieldError]:
    policy, kind, where = spec.get("externalTrafficPolicy") or "", spec.get("type"), at.to("externalTrafficPolicy")
    reachable = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if not reachable and policy:
        yield errors.invalid(where, policy, "may only be set for externally-accessible services")
    elif reachable and not policy:
        yield errors.required(where)
    elif reachable and policy not in ("Cluster", "Local"):
        yield errors.not_supported(where, policy, ("Cluster", "Local"))
    health = spec.get("healthCheckNodePort")
    if health and _checked(spec):
        yield from port_number(at.to("healthCheckNodePort"), health)
    elif health:
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield errors.invalid(at.to("healthCheckNodePort"), health, text)


def _inside(spec: Obj, at: Place) -> Iterator[FieldError]:
    policy, where = spec.get("internalTrafficPolicy"), at.to("internalTrafficPolicy")
    if policy is None and spec.get("type") in ("ClusterIP", "LoadBalancer", "NodePort"):
        yield errors.required(where)
    elif policy is not None and policy not in ("Cluster", "Local"):
        yield errors.not_supported(where, policy, ("Cluster", "Local"))


# --- changes ---


def _change(service: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    spec, was = service["spec"], before["spec"]
    if "ExternalName" not in (spec.get("type"), was.get("type")):
        if not (_headless(spec) and _headless(was)):
            yield from _moved("clusterIPs", _listed(spec), _listed(was), spec)
        if not _headless(spec) and not _headless(was):
            yield from _moved("ipFamilies", spec.get("ipFamilies") or [], was.get("ipFamilies") or [], spec)
    chosen, balanced = spec.get("loadBalancerClass"), spec.get("type") == "LoadBalancer"
    if balanced and was.get("type") == "LoadBalancer" and chosen != was.get("loadBalancerClass"):
        yield errors.invalid("spec.loadBalancerClass", chosen, _STANDS)
    yield from _class_form(chosen, balanced)
    if _checked(spec) and _checked(was) and spec.get("healthCheckNodePort") != was.get("healthCheckNodePort"):
        yield errors.field_forbidden("spec.healthCheckNodePort", "field is immutable")


def _moved(field: str, now: list[str], then: list[str], spec: Obj) -> Iterator[FieldError]:
    """A second address or family may come and go, the first stays."""
    path, what = f"spec.{field}", "clusterIP" if field == "clusterIPs" else "ipFamily"
    if len(now) == len(then):
        for index, (new, old) in enumerate(zip(now, then, strict=True)):
            if new != old:
                yield errors.invalid(f"{path}[{index if field == 'clusterIPs' else 0}]", now, _STANDS)
        return
    if len(then) > len(now) and not now:
        yield errors.invalid(f"{path}[0]", None, f"primary {what} can not be unset")
    if now and then and now[0] != then[0]:
        yield errors.invalid(f"{path}[0]", _listed(spec), _STANDS)
    if len(then) > len(now) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        text = f"must be set to 'SingleStack' when releasing the secondary {what}"
        yield errors.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), text)


# --- status ---


def _ingress(service: Obj, at: Place) -> Iterator[FieldError]:
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    before = (((at.old or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if entries and service["spec"].get("type") != "LoadBalancer":
        text = "may only be used when `spec.type` is 'LoadBalancer'"
        yield errors.field_forbidden("status.loadBalancer.ingress", text)
        return
    known = [entry.get("ip") for entry in before]
    for index, entry in enumerate(entries):
        yield from _one_ingress(f"status.loadBalancer.ingress[{index}]", entry, known)


def _one_ingress(path: str, entry: Obj, known: list[Any]) -> Iterator[FieldError]:
    address, mode, host = entry.get("ip") or "", entry.get("ipMode"), entry.get("hostname") or ""
    if address and address not in known:
        yield from ip(f"{path}.ip", address)
    if mode is None:
        if address:
            yield errors.required(f"{path}.ipMode", "must be specified when `ip` is set")
    elif not address:
        yield errors.field_forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
    elif mode not in ("Proxy", "VIP"):
        yield errors.not_supported(f"{path}.ipMode", mode, ("Proxy", "VIP"))
    if host:
        yield from each(f"{path}.hostname", host, formats.dns1123_subdomain(host))
        if read(host) is not None:
            yield errors.invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")


RULES: dict[str, Row] = {
    "core.v1.Service": (
        changed(_change),
        hook(_annotations),
        "spec",
    ),
    "core.v1.Service/status": (hook(_ingress),),
    "core.v1.ServiceSpec": (
        hook(_kind),
        "ports",
        labels("selector"),
        enum("sessionAffinity", ("ClientIP", "None"), "required"),
        hook(_affinity),
        hook(_addresses),
        hook(_external_ips, "externalIPs"),
        enum("type", _TYPES, "required"),
        hook(_node_ports, "ports"),
        hook(_source_ranges),
        hook(_balancer),
        hook(_outside),
        hook(_inside),
        enum("trafficDistribution", _DISTRIBUTIONS),
    ),
    "core.v1.ServicePort": (
        hook(_port_name),
        hook(_port_number),
        enum("protocol", PROTOCOLS, "required"),
        hook(_target),
        strict_form("appProtocol", formats.qualified_name),
    ),
}
