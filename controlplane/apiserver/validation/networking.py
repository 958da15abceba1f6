"""The networking group: NetworkPolicies, IngressClasses, addresses and ranges. Ingresses are in ingress."""

from __future__ import annotations

import ipaddress

from apimachinery import errors, formats
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.rules.values import (
    Found,
    Obj,
    cidr,
    domain_path,
    each,
    enum,
    ip_address,
    label_selector,
    name,
    port,
    port_number,
)

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_POLICY_TYPES = ("Ingress", "Egress")
_SCOPES = ("Cluster", "Namespace")
_CONTROLLER_MOST = 250
_DUAL = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def network_policy(obj: Obj) -> Found:
    spec = obj["spec"]
    found = label_selector("spec.podSelector", spec.get("podSelector"))
    for field, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(field) or ()):
            where = f"spec.{field}[{index}]"
            for place, entry in enumerate(rule.get("ports") or ()):
                found += _policy_port(f"{where}.ports[{place}]", entry)
            for place, peer in enumerate(rule.get(peers) or ()):
                found += _peer(f"{where}.{peers}[{place}]", peer)
    kinds = spec.get("policyTypes") or []
    if len(kinds) > len(_POLICY_TYPES):
        return [*found, errors.invalid("spec.policyTypes", kinds, "may not specify more than two policyTypes")]
    for index, kind in enumerate(kinds):
        found += enum(f"spec.policyTypes[{index}]", kind, _POLICY_TYPES)
    return found


def _policy_port(path: str, entry: Obj) -> Found:
    number, last = entry.get("port"), entry.get("endPort")
    found = enum(f"{path}.protocol", entry["protocol"], _PROTOCOLS) if entry.get("protocol") is not None else []
    if number is not None and (last is None or isinstance(number, int)):
        found += port(f"{path}.port", number)
    if last is None:
        return found
    where = f"{path}.endPort"
    if number is None:
        return [*found, errors.invalid(where, last, "may not be specified when `port` is not specified")]
    if isinstance(number, str):
        found.append(errors.invalid(where, last, "may not be specified when `port` is non-numeric"))
        return found + port(f"{path}.port", number)
    if last < number:
        # Upstream shows the first port here, not the last.
        found.append(errors.invalid(where, number, "must be greater than or equal to `port`"))
    return found + port_number(where, last)


def _peer(path: str, peer: Obj) -> Found:
    found: Found = []
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    for key in given:
        check = _block if key == "ipBlock" else label_selector
        found += check(f"{path}.{key}", peer[key])
    if not given:
        found.append(errors.required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        found.append(errors.field_forbidden(path, "may not specify both ipBlock and another peer"))
    return found


def _block(path: str, block: Obj) -> Found:
    if not block.get("cidr"):
        return [errors.required(f"{path}.cidr")]
    found = cidr(f"{path}.cidr", block["cidr"])
    if found:
        return found
    whole = ipaddress.ip_network(block["cidr"])
    for index, part in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        wrong = cidr(where, part)
        found += wrong
        if not wrong and not _strictly_within(ipaddress.ip_network(part), whole):
            found.append(errors.invalid(where, part, "must be a strict subset of `cidr`"))
    return found


def _strictly_within(part: ipaddress.IPv4Network | ipaddress.IPv6Network, whole: object) -> bool:
    if isinstance(part, ipaddress.IPv4Network):
        return isinstance(whole, ipaddress.IPv4Network) and part.subnet_of(whole) and part != whole
    return isinstance(whole, ipaddress.IPv6Network) and part.subnet_of(whole) and part != whole


# --- classes ---


def ingress_class(obj: Obj) -> Found:
    spec = obj["spec"]
    controller = spec.get("controller") or ""
    found: Found = []
    if len(controller) > _CONTROLLER_MOST:
        found.append(errors.too_long("spec.controller", _CONTROLLER_MOST))
    found += domain_path("spec.controller", controller)
    return found + _parameters("spec.parameters", spec.get("parameters"))


def _parameters(path: str, parameters: Obj | None) -> Found:
    if parameters is None:
        return []
    found: Found = []
    group, space, scope = parameters.get("apiGroup"), parameters.get("namespace"), parameters.get("scope")
    if group:
        found += each(f"{path}.apiGroup", group, formats.dns1123_subdomain(group))
    for key in ("kind", "name"):
        found += name(f"{path}.{key}", parameters.get(key), path_segment, f"{key} is required")
    found += enum(f"{path}.scope", scope, _SCOPES) if scope else [errors.required(f"{path}.scope")]
    if scope == "Namespace":
        if not space:
            text = "`parameters.scope` is set to 'Namespace'"
            found.append(errors.required(f"{path}.namespace", text))
        else:
            found += each(f"{path}.namespace", space, formats.dns1123_label(space))
    elif scope == "Cluster" and space is not None:
        text = "`parameters.scope` is set to 'Cluster'"
        found.append(errors.field_forbidden(f"{path}.namespace", text))
    return found


def ingress_class_change(new: Obj, old: Obj) -> Found:
    if new["spec"].get("controller") == old["spec"].get("controller"):
        return []
    return [errors.immutable("spec.controller", new["spec"].get("controller"))]


# --- addresses and ranges ---


def address(obj: Obj) -> Found:
    """An IPAddress; its name is the address and is checked as such."""
    parent = obj["spec"].get("parentRef")
    if not parent:
        return [errors.required("spec.parentRef")]
    found: Found = []
    if parent.get("group"):
        found += each("spec.parentRef.group", parent["group"], formats.dns1123_subdomain(parent["group"]))
    for key in ("resource", "name"):
        found += name(f"spec.parentRef.{key}", parent.get(key), path_segment)
    if parent.get("namespace"):
        found += each("spec.parentRef.namespace", parent["namespace"], path_segment(parent["namespace"]))
    return found


def address_name(text: str) -> tuple[str, ...]:
    """Complaints about a name that must be an address, written the one canonical way."""
    wrong = ip_address(text)
    if wrong:
        return (wrong,)
    canonical = str(ipaddress.ip_address(text))
    return () if canonical == text else (f'must be in canonical form ("{canonical}")',)


def address_change(new: Obj, old: Obj) -> Found:
    parent = new["spec"].get("parentRef")
    return [] if parent == old["spec"].get("parentRef") else [errors.immutable("spec.parentRef", parent)]


def service_range(obj: Obj) -> Found:
    """A ServiceCIDR."""
    listed = obj["spec"].get("cidrs") or []
    if not listed:
        return [errors.required("spec.cidrs", "at least one CIDR required")]
    if len(listed) > 2:
        return [errors.invalid("spec", obj["spec"], "may only hold up to 2 values")]
    found: Found = []
    for index, text in enumerate(listed):
        found += cidr(f"spec.cidrs[{index}]", text)
    if len(listed) == 2 and not found and len({ipaddress.ip_network(text).version for text in listed}) == 1:
        found.append(errors.invalid("spec", obj["spec"], _DUAL))
    return found


def service_range_change(new: Obj, old: Obj) -> Found:
    """A range may get its other family, and nothing else."""
    before, after = old["spec"].get("cidrs") or [], new["spec"].get("cidrs") or []
    if before == after:
        return []
    if len(before) == 1 and len(after) == 2 and before[0] == after[0]:
        return []
    return [errors.invalid("spec.cidrs", after, "field is immutable")]
