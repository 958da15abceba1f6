"""Dynamic resource allocation: what claims ask for, what classes configure, what drivers offer.

Selectors are looked at for being there; whether they compile is for whoever evaluates them.
"""

from __future__ import annotations

from apimachinery import errors, formats
from apimachinery.objects import Obj
from controlplane.apiserver.rules.values import Found, each, enum, frozen, name, not_negative

_MOST = 32
_LONGEST_DRIVER = 63
_MODES = ("All", "ExactCount")
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_ATTRIBUTES = ("matchAttribute", "distinctAttribute")


def claim(obj: Obj) -> Found:
    return _claim("spec.devices", obj["spec"].get("devices") or {})


def template(obj: Obj) -> Found:
    return _claim("spec.spec.devices", (obj["spec"].get("spec") or {}).get("devices") or {})


def spec_change(new: Obj, old: Obj) -> Found:
    """Claims and their templates ask once."""
    return frozen(new, old, "spec")


def _claim(path: str, devices: Obj) -> Found:
    requests = devices.get("requests") or []
    found: Found = []
    known: set[str] = set()
    if len(requests) > _MOST:
        found.append(errors.too_many(f"{path}.requests", len(requests), _MOST))
    for index, request in enumerate(requests):
        where, title = f"{path}.requests[{index}]", request.get("name") or ""
        found += _request(where, request)
        if title in known:
            found.append(errors.duplicate(f"{where}.name", title))
        known.add(title)
        known |= {f"{title}/{part.get('name')}" for part in request.get("firstAvailable") or ()}
    for index, constraint in enumerate(devices.get("constraints") or ()):
        where = f"{path}.constraints[{index}]"
        found += _names(f"{where}.requests", constraint.get("requests") or [], known)
        if sum(constraint.get(key) is not None for key in _ATTRIBUTES) != 1:
            text = "exactly one of `matchAttribute` or `distinctAttribute` is required"
            found.append(errors.required(where, text))
    for index, config in enumerate(devices.get("config") or ()):
        where = f"{path}.config[{index}]"
        found += _names(f"{where}.requests", config.get("requests") or [], known) + _config(where, config)
    return found


def _names(path: str, listed: list[str], known: set[str]) -> Found:
    found: Found = []
    for index, title in enumerate(listed):
        if title not in known:
            text = "must be the name of a request in the claim"
            found.append(errors.invalid(f"{path}[{index}]", title, text))
        if title in listed[:index]:
            found.append(errors.duplicate(f"{path}[{index}]", title))
    return found


def _request(path: str, request: Obj) -> Found:
    title, exactly, choices = request.get("name") or "", request.get("exactly"), request.get("firstAvailable")
    found = each(f"{path}.name", title, formats.dns1123_label(title))
    if exactly is None and not choices:
        text = "exactly one of `exactly` or `firstAvailable` is required"
        return [*found, errors.required(path, text)]
    if exactly is not None and choices:
        text = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
        return [*found, errors.invalid_whole(path, text)]
    if exactly is not None:
        return found + _wanted(f"{path}.exactly", exactly)
    seen: set[str] = set()
    for index, choice in enumerate(choices or ()):
        where, part = f"{path}.firstAvailable[{index}]", choice.get("name") or ""
        found += each(f"{where}.name", part, formats.dns1123_label(part)) + _wanted(where, choice)
        if part in seen:
            found.append(errors.duplicate(f"{where}.name", part))
        seen.add(part)
    return found


def _wanted(path: str, wanted: Obj) -> Found:
    found = name(f"{path}.deviceClassName", wanted.get("deviceClassName"), formats.dns1123_subdomain)
    found += _selectors(f"{path}.selectors", wanted.get("selectors") or [])
    mode, count = wanted.get("allocationMode") or "", wanted.get("count") or 0
    if mode == "ExactCount" and count <= 0:
        found.append(errors.invalid(f"{path}.count", count, "must be greater than zero"))
    elif mode == "All" and count:
        text = "must not be specified when allocationMode is 'All'"
        found.append(errors.invalid(f"{path}.count", count, text))
    return found + enum(f"{path}.allocationMode", mode, _MODES)


def _selectors(path: str, listed: list[Obj]) -> Found:
    found: Found = []
    if len(listed) > _MOST:
        found.append(errors.too_many(path, len(listed), _MOST))
    for index, selector in enumerate(listed):
        if selector.get("cel") is None:
            found.append(errors.required(f"{path}[{index}].cel"))
    return found


def _config(path: str, config: Obj) -> Found:
    opaque = config.get("opaque")
    if opaque is None:
        return [errors.required(f"{path}.opaque")]
    found = _driver(f"{path}.opaque.driver", opaque.get("driver") or "")
    if not opaque.get("parameters"):
        found.append(errors.required(f"{path}.opaque.parameters"))
    return found


def _driver(path: str, title: str) -> Found:
    if not title:
        return [errors.required(path)]
    found = [errors.too_long(path, _LONGEST_DRIVER)] if len(title) > _LONGEST_DRIVER else []
    return found + each(path, title, formats.dns1123_subdomain(title))


def device_class(obj: Obj) -> Found:
    found = _selectors("spec.selectors", obj["spec"].get("selectors") or [])
    for index, config in enumerate(obj["spec"].get("config") or ()):
        found += _config(f"spec.config[{index}]", config)
    return found


# --- slices ---


def resource_slice(obj: Obj) -> Found:
    spec = obj["spec"]
    pool = spec.get("pool") or {}
    found = _driver("spec.driver", spec.get("driver") or "")
    found += _pool("spec.pool", pool)
    if sum(bool(spec.get(key)) for key in _PLACES) != 1:
        text = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
        found.append(errors.required("spec", text))
    if spec.get("nodeName"):
        found += each("spec.nodeName", spec["nodeName"], formats.dns1123_subdomain(spec["nodeName"]))
    seen: set[str] = set()
    for index, device in enumerate(spec.get("devices") or ()):
        where, title = f"spec.devices[{index}].name", device.get("name") or ""
        found += each(where, title, formats.dns1123_label(title))
        if title in seen:
            found.append(errors.duplicate(where, title))
        seen.add(title)
    for index, counters in enumerate(spec.get("sharedCounters") or ()):
        found += _counters(f"spec.sharedCounters[{index}]", counters)
    return found


def _counters(path: str, counters: Obj) -> Found:
    title = counters.get("name") or ""
    found = each(f"{path}.name", title, formats.dns1123_label(title)) if title else [errors.required(f"{path}.name")]
    return found if counters.get("counters") else [*found, errors.required(f"{path}.counters")]


def _pool(path: str, pool: Obj) -> Found:
    title, count = pool.get("name") or "", pool.get("resourceSliceCount") or 0
    found: Found = [] if title else [errors.required(f"{path}.name")]
    for part in title.split("/") if title else ():
        found += each(f"{path}.name", part, formats.dns1123_subdomain(part))
    if count <= 0:
        found.append(errors.invalid(f"{path}.resourceSliceCount", count, "must be greater than zero"))
    return found + not_negative(f"{path}.generation", pool.get("generation"))


def resource_slice_change(new: Obj, old: Obj) -> Found:
    """A slice stays its driver's, in its pool and on its node."""
    found: Found = []
    for field in ("driver", "nodeName"):
        if new["spec"].get(field) != old["spec"].get(field):
            found.append(errors.immutable(f"spec.{field}", new["spec"].get(field)))
    before, after = ((obj["spec"].get("pool") or {}).get("name") for obj in (old, new))
    return found if before == after else [*found, errors.immutable("spec.pool.name", after)]
