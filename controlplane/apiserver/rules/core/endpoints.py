"""Endpoints: where the traffic of Services goes. (Their slices are in `rules/discovery.py`.)"""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.containers import PROTOCOLS
from controlplane.apiserver.rules.core.services import special
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import each, ip, port_number
from controlplane.apiserver.rules.words import enum, form, hook, strict_form, when


def _touched(endpoints: Obj, at: Place) -> bool:
    """What was let in earlier may stay."""
    return at.old is None or at.old.get("subsets") != endpoints.get("subsets")


def _some(subset: Obj, at: Place) -> Iterator[FieldError]:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        yield errors.required(at.path, "must specify `addresses` or `notReadyAddresses`")


def _ip(address: Obj, at: Place) -> list[FieldError]:
    return ip(at.to("ip"), address.get("ip"))


def _elsewhere(address: Obj, at: Place) -> Iterator[FieldError]:
    return special(at.to("ip"), address.get("ip") or "")


def _port(entry: Obj, at: Place) -> Iterator[FieldError]:
    title = entry.get("name") or ""
    if title:
        yield from each(at.to("name"), title, formats.dns1123_label(title))
    elif len(at.above().value[at.name]) > 1:
        yield errors.required(at.to("name"))
    yield from port_number(at.to("port"), entry.get("port") or 0)


RULES: dict[str, Row] = {
    "core.v1.Endpoints": (when(_touched, "subsets"),),
    "core.v1.EndpointSubset": (hook(_some), "addresses", "notReadyAddresses", "ports"),
    "core.v1.EndpointAddress": (
        hook(_ip),
        form("hostname", formats.dns1123_label),
        strict_form("nodeName", formats.dns1123_subdomain),
        hook(_elsewhere),
    ),
    "core.v1.EndpointPort": (
        hook(_port),
        enum("protocol", PROTOCOLS, "required"),
        strict_form("appProtocol", formats.qualified_name),
    ),
}
