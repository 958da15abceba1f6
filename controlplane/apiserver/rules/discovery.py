"""EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.addresses import address
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.containers import PROTOCOLS
from controlplane.apiserver.rules.core.services import special
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import canonical_ip, each, ip
from controlplane.apiserver.rules.words import any_form, at_most, enum, form, hook, immutable, labels, strict_form, when

_FAMILIES = ("FQDN", "IPv4", "IPv6")
_MOST_PORTS, _MOST_ENDPOINTS, _MOST_ADDRESSES, _MOST_LABELS, _MOST_HINTS = 20000, 1000, 100, 16, 8


def _few_ports(slice_: Obj, at: Place) -> bool:
    return len(slice_.get("ports") or ()) <= _MOST_PORTS


def _few_endpoints(slice_: Obj, at: Place) -> bool:
    """What was let in earlier may stay."""
    fresh = at.old is None or at.old.get("endpoints") != slice_.get("endpoints")
    return fresh and len(slice_.get("endpoints") or ()) <= _MOST_ENDPOINTS


def _port_name(entry: Obj, at: Place) -> Iterator[FieldError]:
    title = entry.get("name") or ""
    if title:
        yield from each(at.to("name"), title, formats.dns1123_label(title))
    if title in at.seen("names"):
        yield errors.duplicate(at.to("name"), title)
    at.seen("names").add(title)


def _addresses(endpoint: Obj, at: Place) -> Iterator[FieldError]:
    family, listed, path = at.above().value.get("addressType"), endpoint.get("addresses") or [], at.to("addresses")
    if not listed:
        yield errors.required(path, "must contain at least 1 address")
    elif len(listed) > _MOST_ADDRESSES:
        yield errors.too_many(path, len(listed), _MOST_ADDRESSES)
    for index, text in enumerate(listed):
        where = f"{path}[{index}]"
        if family == "FQDN":
            yield from _domain(where, text)
        elif family in ("IPv4", "IPv6"):
            # Those of the newer family have always been held to one way of writing them.
            wrong = ip(where, text) if family == "IPv4" else each(where, text, canonical_ip(text))
            yield from wrong
            if not wrong:
                if (found := address(text)) is None or f"IPv{found.version}" != family:
                    yield errors.invalid(path, text, f"must be an {family} address")
                yield from special(where, text)


def _domain(path: str, text: str) -> Iterator[FieldError]:
    """A fully qualified domain name, with or without the root's dot."""
    if not text:
        yield errors.required(path)
        return
    plain = text.removesuffix(".")
    if complaints := formats.dns1123_subdomain(plain):
        yield errors.invalid(path, plain, ",".join(complaints))
        return
    if "." not in plain:
        yield errors.invalid(path, plain, "should be a domain with at least two segments separated by dots")
        return
    for label in plain.split("."):
        if complaints := formats.dns1123_label(label):
            yield errors.invalid(path, label, ",".join(complaints))
            return


def _hint_name(hint: Obj, at: Place) -> Iterator[FieldError]:
    title = hint.get("name") or ""
    if title in at.seen("names"):
        yield errors.duplicate(at.to("name"), title)
    at.seen("names").add(title)


def _few_zones(hints: Obj, at: Place) -> bool:
    return len(hints.get("forZones") or ()) <= _MOST_HINTS


def _few_nodes(hints: Obj, at: Place) -> bool:
    return _few_zones(hints, at) and len(hints.get("forNodes") or ()) <= _MOST_HINTS


RULES: dict[str, Row] = {
    "discovery.v1.EndpointSlice": (
        enum("addressType", _FAMILIES, "required"),
        at_most("ports", _MOST_PORTS),
        when(_few_ports, "ports"),
        at_most("endpoints", _MOST_ENDPOINTS),
        when(_few_endpoints, "endpoints"),
        immutable("addressType"),
    ),
    "discovery.v1.EndpointPort": (
        hook(_port_name),
        enum("protocol", PROTOCOLS, "given"),
        strict_form("appProtocol", formats.qualified_name),
    ),
    "discovery.v1.Endpoint": (
        hook(_addresses),
        strict_form("nodeName", formats.dns1123_subdomain),
        at_most("deprecatedTopology", _MOST_LABELS),
        labels("deprecatedTopology"),
        strict_form("hostname", formats.dns1123_label),
        "hints",
    ),
    "discovery.v1.EndpointHints": (
        at_most("forZones", _MOST_HINTS),
        when(_few_zones, "forZones", at_most("forNodes", _MOST_HINTS)),
        when(_few_nodes, "forNodes"),
    ),
    "discovery.v1.ForZone": (hook(_hint_name), form("name", formats.label_value)),
    "discovery.v1.ForNode": (hook(_hint_name), any_form("name", formats.dns1123_subdomain)),
}
