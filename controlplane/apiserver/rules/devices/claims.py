"""What a claim asks for: requests, alternatives, what they have in common, and classes of devices."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.pods.requests import is_extended
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.claims import template_metadata
from controlplane.apiserver.rules.devices.names import REQUESTS, full_name
from controlplane.apiserver.rules.place import Place, Row, is_new
from controlplane.apiserver.rules.words import (
    any_form,
    bounded,
    by_path,
    distinct,
    hook,
    immutable,
    name,
    required,
    when,
)

_MOST, _MOST_ALTERNATIVES, _LONGEST_EXPRESSION = 32, 8, 10 * 1024
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_NO_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'


def _one_kind(request: Obj, at: Place) -> Iterator[FieldError]:
    exactly, alternatives = request.get("exactly") is not None, bool(request.get("firstAvailable"))
    if exactly and alternatives:
        yield errors.invalid(at.path, None, f"{_ONE_KIND}, but multiple fields are set")
    elif not exactly and not alternatives:
        yield errors.required(at.path, _ONE_KIND)


def _alternatives(request: Obj, at: Place) -> bool:
    return request.get("exactly") is None


def _exact(request: Obj, at: Place) -> bool:
    return not request.get("firstAvailable")


def _amount(request: Obj, at: Place) -> Iterator[FieldError]:
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "ExactCount":
        if count <= 0:
            yield errors.invalid(at.to("count"), count, "must be greater than zero")
    elif mode != "All":
        yield errors.not_supported(at.to("allocationMode"), mode, ("All", "ExactCount"))
    elif count:
        yield errors.invalid(at.to("count"), count, f"must not be specified when allocationMode is '{mode}'")


def _attribute(constraint: Obj, at: Place) -> Iterator[FieldError]:
    for field in ("matchAttribute", "distinctAttribute"):
        if constraint.get(field) is not None:
            yield from full_name(at.to(field), constraint[field])
            return
    yield errors.required(at.path, _NO_ATTRIBUTE)


def _expression(selector: Obj, at: Place) -> Iterator[FieldError]:
    text, path = selector.get("expression") or "", at.to("expression")
    if len(text.encode()) > _LONGEST_EXPRESSION:
        # Nobody need compile what is too long anyway.
        yield errors.too_long(path, _LONGEST_EXPRESSION)
        return
    # Expressions have machinery of their own, which nobody needs before the first of them.
    from apimachinery import device_selectors

    try:
        device_selectors.compiled(text)
    except device_selectors.Unfit as error:
        yield errors.internal(path, str(error)) if error.internal else errors.invalid(path, text, str(error))


_SELECTORS = bounded("selectors", _MOST, "selectors")
_WANTED: Row = (
    name("deviceClassName", formats.dns1123_subdomain),
    _SELECTORS,
    hook(_amount),
    "tolerations",
)
_OPAQUE: Row = (required("opaque"), "opaque")


def _extended(path: str, text: str) -> list[FieldError]:
    return [] if is_extended(text) else [errors.invalid(path, text, "must be a valid extended resource name")]


RULES: dict[str, Row] = {
    "resource.v1.ResourceClaim": (when(is_new, inside("spec", always=True)), immutable("spec")),
    "resource.v1.ResourceClaimTemplate": (inside("spec", always=True), immutable("spec")),
    "resource.v1.ResourceClaimTemplateSpec": (hook(template_metadata), inside("spec", always=True)),
    "resource.v1.ResourceClaimSpec": (inside("devices", always=True),),
    "resource.v1.DeviceClaim": (
        bounded("requests", _MOST, "requests", distinct("requests", "name")),
        bounded("constraints", _MOST, "constraints"),
        bounded("config", _MOST, "config"),
    ),
    "resource.v1.DeviceRequest": (
        any_form("name", formats.dns1123_label),
        hook(_one_kind),
        when(
            _alternatives,
            bounded("firstAvailable", _MOST_ALTERNATIVES, "firstAvailable", distinct("firstAvailable", "name")),
        ),
        when(_exact, "exactly"),
    ),
    "resource.v1.ExactDeviceRequest": _WANTED,
    "resource.v1.DeviceSubRequest": (any_form("name", formats.dns1123_label), *_WANTED),
    "resource.v1.DeviceSelector": (required("cel"), "cel"),
    "resource.v1.CELDeviceSelector": (hook(_expression),),
    "resource.v1.DeviceConstraint": (REQUESTS, hook(_attribute)),
    "resource.v1.DeviceClaimConfiguration": (REQUESTS, *_OPAQUE),
    "resource.v1.DeviceClassConfiguration": _OPAQUE,
    "resource.v1.DeviceClass": (inside("spec", always=True),),
    "resource.v1.DeviceClassSpec": (
        _SELECTORS,
        bounded("config", _MOST, "config"),
        by_path("extendedResourceName", _extended, "absent"),
    ),
}
