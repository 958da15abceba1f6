"""Names of drivers, pools, attributes and requests, and what several types of devices share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.defaults.empties import written
from controlplane.apiserver.rules.core.sources import csi_driver_name
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import Found, c_identifier, each
from controlplane.apiserver.rules.words import any_form, bounded, by_path, distinct, enum, form, forms, hook

_POOL_MOST, _IDENTIFIER_MOST, _JSON_MOST = 253, 32, 10 * 1024
_MOST_CONDITIONS = 4
_MOST_REQUESTS = 32
_NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_OVERLAP = "bindingFailureConditions must not overlap with bindingConditions"
_UUID = re.compile(r"(?:urn:uuid:)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_UUID_TEXT = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
    "characters"
)
DRIVER = by_path("driver", csi_driver_name, "required")


def pool_name(path: str, text: str) -> Found:
    """Names of nodes or domains, joined by slashes."""
    found = [errors.too_long(path, _POOL_MOST)] if len(text.encode()) > _POOL_MOST else []
    for part in text.split("/"):
        found += each(path, part, formats.dns1123_subdomain(part))
    return found


def qualified_name(path: str, text: str) -> Found:
    """An identifier, which may have the domain of a driver in front; two slashes are let pass, as by upstream."""
    domain, slash, name = text.partition("/")
    if not slash:
        return _identifier(path, text)
    if "/" in name:
        return []
    found = csi_driver_name(path, domain) if domain else [errors.invalid(path, "", "the domain must not be empty")]
    return found + (_identifier(path, name) if name else [errors.invalid(path, "", "the name must not be empty")])


def full_name(path: str, text: str) -> Found:
    """A qualified name with its domain."""
    found = qualified_name(path, text)
    if "/" not in text:
        told = "a fully qualified name must be a domain and a name separated by a slash"
        found.append(errors.invalid(path, text, told))
    return found


def _identifier(path: str, text: str) -> Found:
    found = [errors.too_long(path, _IDENTIFIER_MOST)] if len(text.encode()) > _IDENTIFIER_MOST else []
    return found + each(path, text, c_identifier(text))


def share(path: str, text: str) -> Found:
    """The identity of a share of a device."""
    if not _UUID.match(text):
        kind = "invalid UUID format" if len(text) in (32, 36) else f"invalid UUID length: {len(text)}"
        return [errors.invalid(path, text, f"error validating uid: {kind}")]
    return [] if len(text) == 36 and text == text.lower() else [errors.invalid(path, text, _UUID_TEXT)]


SHARE = by_path("shareID", share, "absent")


# --- requests of a claim, by name ---


def requests(at: Place) -> dict[str, set[str]]:
    """The requests of the claim that is checked, and of each the alternatives."""
    known: dict[str, set[str]] | None = at.about.notes.get("requests")
    if known is None:
        spec = at.about.new.get("spec") or {}
        listed = ((spec.get("spec") or spec).get("devices") or {}).get("requests") or ()
        known = at.about.notes["requests"] = {
            request.get("name") or "": {part.get("name") or "" for part in request.get("firstAvailable") or ()}
            for request in listed
        }
    return known


def request_name(path: str, text: str, at: Place) -> Iterator[FieldError]:
    """A request of the claim, or one of its alternatives."""
    parts = text.split("/")
    if len(parts) <= 2:
        for part in parts:
            yield from each(path, part, formats.dns1123_label(part))
        known = requests(at)
        if parts[0] in known and (len(parts) == 1 or parts[1] in known[parts[0]]):
            return
    yield errors.invalid(path, text, _NO_REQUEST)


def _named(value: Obj, at: Place) -> Iterator[FieldError]:
    for index, text in enumerate(value["requests"] or ()):
        yield from request_name(f"{at.to('requests')}[{index}]", text, at)


# Which requests of the claim something is about.
REQUESTS = bounded("requests", _MOST_REQUESTS, hook(_named, "requests"), distinct("requests"))


# --- what is kept as its driver wrote it ---


def raw(path: str, value: Any) -> Found:
    """An object of the driver's own, which nobody else reads."""
    if value is None:
        return [errors.required(path)]
    if len(orjson.dumps(value)) > _JSON_MOST:
        return [errors.too_long(path, _JSON_MOST)]
    return [] if isinstance(value, dict) else [errors.invalid(path, "<value omitted>", "must be a valid JSON object")]


def _parameters(config: Obj, at: Place) -> Found:
    return raw(at.to("parameters"), config.get("parameters"))


# --- conditions under which a pod is bound ---


def _binding(device: Obj, at: Place) -> Iterator[FieldError]:
    wanted, failed = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    repeated = set[str]()
    for index, condition in enumerate(failed):
        path = f"{at.to('bindingFailureConditions')}[{index}]"
        if condition in repeated:
            yield errors.duplicate(path, condition)
        repeated.add(condition)
        if condition in wanted:
            yield errors.invalid(path, condition, _OVERLAP)
    if failed and not wanted:
        text = "bindingConditions are required to use bindingFailureConditions"
        yield errors.invalid(at.to("bindingConditions"), written(device, "bindingConditions"), text)
    if wanted and not failed:
        text = "bindingFailureConditions are required to use bindingConditions"
        yield errors.invalid(at.to("bindingFailureConditions"), written(device, "bindingFailureConditions"), text)


BINDING: Row = (
    bounded("bindingConditions", _MOST_CONDITIONS, forms("bindingConditions", formats.qualified_name)),
    bounded("bindingFailureConditions", _MOST_CONDITIONS, forms("bindingFailureConditions", formats.qualified_name)),
    distinct("bindingConditions"),
    hook(_binding, "bindingConditions", "bindingFailureConditions"),
)
_EFFECTS = ("NoExecute", "NoSchedule", "None")


def _tolerates(toleration: Obj, at: Place) -> Iterator[FieldError]:
    operator, value = toleration.get("operator") or "", toleration.get("value") or ""
    if operator == "Exists" and value:
        yield errors.invalid(at.to("value"), value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from each(at.to("value"), value, formats.label_value(value))


RULES: dict[str, Row] = {
    "resource.v1.OpaqueDeviceConfiguration": (DRIVER, hook(_parameters)),
    "resource.v1.DeviceTaint": (
        any_form("key", formats.qualified_name),
        form("value", formats.label_value),
        enum("effect", _EFFECTS, "required"),
    ),
    "resource.v1.DeviceToleration": (
        form("key", formats.qualified_name),
        hook(_tolerates),
        enum("operator", ("Equal", "Exists"), "required"),
        enum("effect", _EFFECTS, "pass"),
    ),
}
