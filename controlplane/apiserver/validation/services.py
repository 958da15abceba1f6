"""Services and their status."""

from __future__ import annotations

import ipaddress
from typing import Any

from apimachinery import errors, formats
from controlplane.apiserver.rules import metadata as meta
from controlplane.apiserver.rules.core.containers import PROTOCOLS
from controlplane.apiserver.rules.values import Found, Obj, each, enum, ip, port, port_number

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_EXTERNAL = ("NodePort", "LoadBalancer")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_ONE_DAY = 86400


def validate(service: Obj) -> Found:
    spec = service["spec"]
    kind = spec.get("type") or ""
    headless = spec.get("clusterIP") == "None"
    found: Found = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        found.append(errors.required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        text = "may not be set to 'None' for LoadBalancer services"
        found.append(errors.invalid("spec.clusterIPs[0]", "None", text))
    elif kind == "NodePort" and headless:
        text = "may not be set to 'None' for NodePort services"
        found.append(errors.invalid("spec.clusterIPs[0]", "None", text))
    elif kind == "ExternalName":
        found += _external_name(spec)
    found += _ports(spec, headless)
    found += meta.check_labels(spec.get("selector") or {}, "spec.selector")
    found += enum("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None or not 0 < seconds <= _ONE_DAY:
            where = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            found.append(errors.invalid(where, seconds, f"must be greater than 0 and less than {_ONE_DAY}"))
    found += addresses(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        where = f"spec.externalIPs[{index}]"
        found += ip(where, address) or special(where, address)
    found += enum("spec.type", kind, _TYPES)
    return found + _policies(spec, kind)


def _external_name(spec: Obj) -> Found:
    found: Found = []
    if spec.get("clusterIP"):
        text = "may not be set for ExternalName services"
        found.append(errors.field_forbidden("spec.clusterIPs[0]", text))
    name = spec.get("externalName") or ""
    if not name:
        found.append(errors.required("spec.externalName"))
    else:
        plain = name[:-1] if name.endswith(".") else name
        found += each("spec.externalName", plain, formats.dns1123_subdomain(plain))
    return found


def _ports(spec: Obj, headless: bool) -> Found:
    found: Found = []
    listed = spec.get("ports") or []
    names: set[str] = set()
    for index, entry in enumerate(listed):
        found += _port(f"spec.ports[{index}]", entry, len(listed) > 1, names)
    seen: set[tuple[Any, Any]] = set()
    for index, entry in enumerate(listed):
        key = (entry.get("protocol"), entry.get("port"))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": entry.get("protocol"),
                "AppProtocol": None,
                "Port": entry.get("port"),
                "TargetPort": 0,
                "NodePort": 0,
            }
            found.append(errors.duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    if spec.get("type") == "ClusterIP":
        for index, entry in enumerate(listed):
            if entry.get("nodePort"):
                text = "may not be used when `type` is 'ClusterIP'"
                found.append(errors.field_forbidden(f"spec.ports[{index}].nodePort", text))
    return found


def _port(path: str, entry: Obj, named: bool, names: set[str]) -> Found:
    found: Found = []
    title = entry.get("name") or ""
    if named and not title:
        found.append(errors.required(f"{path}.name"))
    elif title:
        found += each(f"{path}.name", title, formats.dns1123_label(title))
        if title in names:
            found.append(errors.duplicate(f"{path}.name", title))
        names.add(title)
    found += port_number(f"{path}.port", entry.get("port") or 0)
    if not entry.get("protocol"):
        found.append(errors.required(f"{path}.protocol"))
    else:
        found += enum(f"{path}.protocol", entry["protocol"], PROTOCOLS)
    found += port(f"{path}.targetPort", entry.get("targetPort"))
    if entry.get("appProtocol") is not None:
        found += each(f"{path}.appProtocol", entry["appProtocol"], formats.qualified_name(entry["appProtocol"]))
    return found


def special(path: str, address: str) -> Found:
    """Addresses that cannot mean another machine."""
    found = ipaddress.ip_address(address)
    if found.is_unspecified:
        return [errors.invalid(path, address, f"may not be unspecified ({address})")]
    if found.is_loopback:
        text = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        return [errors.invalid(path, address, text)]
    if found.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        return [errors.invalid(path, address, text)]
    if found.is_multicast and (found.version == 6 or str(found).startswith("224.0.0.")):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        return [errors.invalid(path, address, text)]
    return []


def addresses(spec: Obj) -> Found:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy as a client may write them."""
    found: Found = []
    first, listed = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if spec.get("type") == "ExternalName":
        return found
    if listed and not first:
        text = "must be empty when `clusterIP` is not specified"
        found.append(errors.invalid("spec.clusterIPs", listed, text))
    elif listed and listed[0] != first:
        return [errors.invalid("spec.clusterIPs", listed, "first value must match `clusterIP`")]
    if len(listed) > 2:
        found.append(errors.invalid("spec.clusterIPs", listed, "may only hold up to 2 values"))
    found += _families(spec)
    given = listed or ([first] if first else [])
    versions: list[int] = []
    for index, address in enumerate(given):
        if address == "None":
            continue
        wrong = ip(f"spec.clusterIPs[{index}]", address)
        found += wrong
        if not wrong:
            versions.append(ipaddress.ip_address(address).version)
    if len(versions) != len(set(versions)):
        text = "may specify no more than one IP for each IP family"
        found.append(errors.invalid("spec.clusterIPs", listed, text))
    return found


def _families(spec: Obj) -> Found:
    found: Found = []
    seen: set[str] = set()
    if spec.get("ipFamilyPolicy") is not None:
        allowed = ("PreferDualStack", "RequireDualStack", "SingleStack")
        found += enum("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], allowed)
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        found += enum(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
        if family in seen:
            found.append(errors.duplicate(f"spec.ipFamilies[{index}]", family))
        seen.add(family)
    return found


def _policies(spec: Obj, kind: str) -> Found:
    found: Found = []
    if kind != "LoadBalancer":
        text = "may only be used when `type` is 'LoadBalancer'"
        if spec.get("loadBalancerSourceRanges"):
            found.append(errors.field_forbidden("spec.LoadBalancerSourceRanges", text))
        if spec.get("allocateLoadBalancerNodePorts") is not None:
            found.append(errors.field_forbidden("spec.allocateLoadBalancerNodePorts", text))
        if spec.get("loadBalancerClass") is not None:
            found.append(errors.field_forbidden("spec.loadBalancerClass", text))
    found += _external_policy(spec, kind)
    if spec.get("internalTrafficPolicy") is not None:
        found += enum("spec.internalTrafficPolicy", spec["internalTrafficPolicy"], ("Cluster", "Local"))
    if spec.get("trafficDistribution") is not None:
        found += enum("spec.trafficDistribution", spec["trafficDistribution"], _DISTRIBUTIONS)
    return found


def _external_policy(spec: Obj, kind: str) -> Found:
    policy = spec.get("externalTrafficPolicy")
    external = kind in _EXTERNAL or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    found: Found = []
    if policy is not None and not external:
        text = "may only be set for externally-accessible services"
        found.append(errors.invalid("spec.externalTrafficPolicy", policy, text))
    elif policy is not None:
        found += enum("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    health = spec.get("healthCheckNodePort")
    if health and not (kind == "LoadBalancer" and policy == "Local"):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        found.append(errors.invalid("spec.healthCheckNodePort", health, text))
    return found


def validate_change(new: Obj, old: Obj) -> Found:
    spec, was = new["spec"], old["spec"]
    found: Found = []
    if was.get("type") != "ExternalName" and spec.get("type") != "ExternalName":
        before, after = was.get("clusterIPs") or [], spec.get("clusterIPs") or []
        if before and after and before[0] != after[0]:
            found.append(errors.invalid("spec.clusterIPs[0]", after, "may not change once set"))
    chosen = was.get("loadBalancerClass")
    both = was.get("type") == "LoadBalancer" and spec.get("type") == "LoadBalancer"
    if both and chosen is not None and chosen != spec.get("loadBalancerClass"):
        text = "may not change once set"
        found.append(errors.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), text))
    return found + validate(new)


def validate_status(new: Obj, old: Obj) -> Found:
    found: Found = []
    entries = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if entries and new["spec"].get("type") != "LoadBalancer":
        text = "may only be used when `spec.type` is 'LoadBalancer'"
        return [errors.field_forbidden("status.loadBalancer.ingress", text)]
    for index, ingress in enumerate(entries):
        where = f"status.loadBalancer.ingress[{index}]"
        if ingress.get("ip"):
            found += ip(f"{where}.ip", ingress["ip"])
            if ingress.get("ipMode") is None:
                found.append(errors.required(f"{where}.ipMode", "must be specified when `ip` is set"))
        elif ingress.get("ipMode") is not None:
            text = "may not be specified when `ip` is not set"
            found.append(errors.field_forbidden(f"{where}.ipMode", text))
        if ingress.get("ipMode") is not None:
            found += enum(f"{where}.ipMode", ingress["ipMode"], ("Proxy", "VIP"))
    return found
