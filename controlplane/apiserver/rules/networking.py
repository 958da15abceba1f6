"""NetworkPolicies, IngressClasses, addresses and ranges. Ingresses are in ingress."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.addresses import interface
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.defaults.empties import written
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import canonical_cidr, cidr, domain_path, each, enum, port, port_number
from controlplane.apiserver.rules.words import (
    by_path,
    changed,
    created,
    form,
    hook,
    immutable,
    longest,
    name,
    required,
    strict_form,
)
from controlplane.apiserver.rules.words import enum as one_of

_DUAL = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
_SPEC = inside("spec", always=True)


# --- policies ---


def _known(at: Place) -> frozenset[str]:
    """The ranges of the policy before, which may stand anywhere in the changed one, whatever they are."""
    known: frozenset[str] | None = at.about.notes.get("ranges")
    if known is None:
        spec = (at.about.old or {}).get("spec") or {}
        rules = [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]
        peers = [peer for rule in rules for peer in (*(rule.get("from") or ()), *(rule.get("to") or ()))]
        blocks = [peer["ipBlock"] for peer in peers if peer.get("ipBlock")]
        known = frozenset(text for one in blocks for text in (one.get("cidr") or "", *(one.get("except") or ())))
        at.about.notes["ranges"] = known
    return known


def _port(entry: Obj, at: Place) -> Iterator[FieldError]:
    number, last, where = entry.get("port"), entry.get("endPort"), at.to("endPort")
    if number is None:
        if last is not None:
            yield errors.invalid(where, last, "may not be specified when `port` is not specified")
        return
    if isinstance(number, str) and last is not None:
        yield errors.invalid(where, last, "may not be specified when `port` is non-numeric")
    yield from port(at.to("port"), number)
    if isinstance(number, int) and last is not None:
        if last < number:
            # Upstream shows the first port here, not the last.
            yield errors.invalid(where, number, "must be greater than or equal to `port`")
        yield from port_number(where, last)


def _peers(peer: Obj, at: Place) -> Iterator[FieldError]:
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    if not given:
        yield errors.required(at.path, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        yield errors.field_forbidden(at.path, "may not specify both ipBlock and another peer")


def _block(block: Obj, at: Place) -> Iterator[FieldError]:
    text, known = block.get("cidr") or "", _known(at)
    if not text:
        yield errors.required(at.to("cidr"))
        return
    if text not in known:
        yield from cidr(at.to("cidr"), text)
    whole = _network(text)
    for index, part in enumerate(block.get("except") or () if whole is not None else ()):
        where, inner = f"{at.to('except')}[{index}]", _network(part)
        if part not in known:
            yield from cidr(where, part)
        if inner is not None and not _within(inner, whole):
            yield errors.invalid(where, part, "must be a strict subset of `cidr`")


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network | None:
    found = interface(text)
    return None if found is None else found.network


def _within(part: _Network, whole: _Network | None) -> bool:
    if isinstance(part, ipaddress.IPv4Network):
        return isinstance(whole, ipaddress.IPv4Network) and part.subnet_of(whole) and part != whole
    return isinstance(whole, ipaddress.IPv6Network) and part.subnet_of(whole) and part != whole


def _directions(spec: Obj, at: Place) -> Iterator[FieldError]:
    listed, where = spec["policyTypes"] or [], at.to("policyTypes")
    if len(listed) > 2:
        yield errors.invalid(where, listed, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(listed):
        yield from enum(f"{where}[{index}]", kind, ("Ingress", "Egress"))


# --- classes ---


def _scope(parameters: Obj, at: Place) -> Iterator[FieldError]:
    scope, space = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        yield errors.required(at.to("scope"))
        return
    yield from enum(at.to("scope"), scope, ("Cluster", "Namespace"))
    if scope == "Cluster" and space is not None:
        yield errors.field_forbidden(at.to("namespace"), "`parameters.scope` is set to 'Cluster'")
    elif scope == "Namespace" and space is None:
        yield errors.required(at.to("namespace"), "`parameters.scope` is set to 'Namespace'")
    elif scope == "Namespace":
        yield from each(at.to("namespace"), space, formats.dns1123_label(space or ""))


# --- addresses and ranges ---


def _ranges(spec: Obj, at: Place) -> Iterator[FieldError]:
    listed, where = spec.get("cidrs") or [], at.to("cidrs")
    if not listed:
        yield errors.required(where, "at least one CIDR required")
        return
    if len(listed) > 2:
        shown = struct("networking.v1.ServiceCIDRSpec", spec)
        yield errors.invalid(where, shown, "may only hold up to 2 values")
        return
    for index, text in enumerate(listed):
        yield from canonical_cidr(f"{where}[{index}]", text)
    networks = [_network(text) for text in listed]
    if len(networks) == 2 and None not in networks and len({one.version for one in networks if one}) == 1:
        yield errors.invalid(where, listed, _DUAL)


def _more_ranges(spec: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """A range may get its other family, and nothing else."""
    listed, was = spec.get("cidrs") or [], before.get("cidrs") or []
    grows = len(was) == 1 and len(listed) == 2
    if len(was) != len(listed) and not grows:
        yield errors.immutable(at.to("cidrs"), written(spec, "cidrs"))
        return
    for index, (now, then) in enumerate(zip(listed, was, strict=False)):
        if now != then:
            yield errors.immutable(f"{at.to('cidrs')}[{index}]", now)
    if grows:
        yield from _ranges(spec, at)


RULES: dict[str, Row] = {
    "networking.v1.NetworkPolicy": (_SPEC,),
    "networking.v1.NetworkPolicySpec": ("podSelector", "ingress", "egress", hook(_directions, "policyTypes")),
    "networking.v1.NetworkPolicyIngressRule": ("ports", "from"),
    "networking.v1.NetworkPolicyEgressRule": ("ports", "to"),
    "networking.v1.NetworkPolicyPort": (one_of("protocol", ("TCP", "UDP", "SCTP")), hook(_port)),
    "networking.v1.NetworkPolicyPeer": ("podSelector", "namespaceSelector", "ipBlock", hook(_peers)),
    "networking.v1.IPBlock": (hook(_block),),
    "networking.v1.IngressClass": (_SPEC,),
    "networking.v1.IngressClassSpec": (
        immutable("controller"),
        longest("controller", 250),
        by_path("controller", domain_path, "check"),
        "parameters",
    ),
    "networking.v1.IngressClassParametersReference": (
        strict_form("apiGroup", formats.dns1123_subdomain),
        name("kind", path_segment),
        name("name", path_segment),
        hook(_scope),
    ),
    "networking.v1.IPAddress": (_SPEC,),
    "networking.v1.IPAddressSpec": (required("parentRef"), "parentRef", immutable("parentRef")),
    "networking.v1.ParentReference": (
        form("group", formats.dns1123_subdomain),
        name("resource", path_segment),
        name("name", path_segment),
        form("namespace", path_segment),
    ),
    "networking.v1.ServiceCIDR": (_SPEC,),
    "networking.v1.ServiceCIDRSpec": (created(_ranges), changed(_more_ranges)),
    "networking.v1.ServiceCIDR/status": (),
}
