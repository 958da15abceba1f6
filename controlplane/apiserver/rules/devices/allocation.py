"""What a claim was given, who uses it, and what drivers tell of the devices: the status of a claim."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.addresses import Interface, interface
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.devices.names import BINDING, DRIVER, REQUESTS, SHARE, pool_name, raw, request_name
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import Found
from controlplane.apiserver.rules.words import (
    any_form,
    at_most,
    bounded,
    by_path,
    changed,
    distinct,
    enum,
    hook,
    immutable,
    longest,
    required,
    when,
)

_MOST_CONSUMERS, _MOST_RESULTS, _MOST_CONFIGS, _MOST_CONDITIONS, _MOST_ADDRESSES = 256, 32, 64, 8, 16
_POOL = by_path("pool", pool_name, "required")
_DEVICE = any_form("device", formats.dns1123_label)
_ADDRESS_TEXT = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
_UNALLOCATED = "may not be specified when `allocated` is not set"
_GOING = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"


_IDENTITY = ("driver", "pool", "device", "shareID")


def identity(device: Obj) -> tuple[str, ...]:
    """Driver, pool, device and share of a device, as results and statuses name it; "" for what is not said."""
    return tuple(device.get(field) or "" for field in _IDENTITY)


def _shown(device: Obj) -> Obj:
    """As upstream prints its own type of it."""
    return {f"{field[0].upper()}{field[1:]}": part for field, part in zip(_IDENTITY, identity(device), strict=True)}


def _allocated(device: Obj, at: Place) -> Iterator[FieldError]:
    results = ((at.above().value.get("allocation") or {}).get("devices") or {}).get("results") or ()
    if identity(device) not in map(identity, results):
        yield errors.invalid(at.path, _shown(device), "must be an allocated device in the claim")


def _once(status: Obj, at: Place) -> Iterator[FieldError]:
    seen = set[tuple[str, ...]]()
    for index, device in enumerate(status["devices"] or ()):
        if identity(device) in seen:
            yield errors.duplicate(f"{at.to('devices')}[{index}]", _shown(device))
        seen.add(identity(device))


def _consumers(status: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """A claim is used as long as it is allocated, and by nobody new once it is to go."""
    listed, known = status.get("reservedFor") or [], before.get("reservedFor") or []
    if listed and status.get("allocation") is None:
        yield errors.field_forbidden(at.to("reservedFor"), _UNALLOCATED)
    elif "deletionTimestamp" in at.about.new["metadata"] and any(one not in known for one in listed):
        yield errors.field_forbidden(at.to("reservedFor"), _GOING)


def _was_allocated(status: Obj, at: Place) -> bool:
    """What was allocated can be given back, and not be changed."""
    return status.get("allocation") is not None and (at.old or {}).get("allocation") is not None


def _was_free(status: Obj, at: Place) -> bool:
    return not _was_allocated(status, at)


def _request(result: Obj, at: Place) -> Iterator[FieldError]:
    return request_name(at.to("request"), result.get("request") or "", at)


def _data(device: Obj, at: Place) -> Found:
    return raw(at.to("data"), device["data"]) if device["data"] is not None else []


def _addresses(network: Obj, at: Place) -> Iterator[FieldError]:
    for index, text in enumerate(network["ips"] or ()):
        path = f"{at.to('ips')}[{index}]"
        found = interface(text)
        if found is None:
            yield errors.invalid(path, text, _ADDRESS_TEXT)
        elif text != (plain := _canonical(found)):
            yield errors.invalid(path, text, f'must be in canonical form ("{plain}")')


def _canonical(found: Interface) -> str:
    """An IPv4 address is written as one also where it came as one of IPv6."""
    length = found.network.prefixlen
    mapped = found.ip.ipv4_mapped if found.ip.version == 6 else None
    return f"{mapped or found.ip}/{length - 96 if mapped and length > 32 else length}"


RULES: dict[str, Row] = {
    "resource.v1.ResourceClaim/status": (inside("status", always=True),),
    "resource.v1.ResourceClaimStatus": (
        bounded("reservedFor", _MOST_CONSUMERS, "reservedFor", distinct("reservedFor", "uid")),
        "devices",
        hook(_once, "devices"),
        changed(_consumers),
        when(_was_allocated, immutable("allocation")),
        when(_was_free, "allocation"),
    ),
    "resource.v1.ResourceClaimConsumerReference": (required("resource", "name", "uid"),),
    "resource.v1.AllocationResult": (inside("devices", always=True), "nodeSelector"),
    "resource.v1.DeviceAllocationResult": (
        bounded("results", _MOST_RESULTS, "results"),
        bounded("config", _MOST_CONFIGS, "config"),
    ),
    "resource.v1.DeviceRequestAllocationResult": (hook(_request), DRIVER, _POOL, _DEVICE, *BINDING, SHARE),
    "resource.v1.DeviceAllocationConfiguration": (
        enum("source", ("FromClaim", "FromClass"), "required"),
        REQUESTS,
        required("opaque"),
        "opaque",
    ),
    "resource.v1.AllocatedDeviceStatus": (
        DRIVER,
        _POOL,
        _DEVICE,
        SHARE,
        hook(_allocated),
        at_most("conditions", _MOST_CONDITIONS),
        "conditions",
        hook(_data, "data"),
        "networkData",
    ),
    "resource.v1.NetworkDeviceData": (
        longest("interfaceName", 256),
        longest("hardwareAddress", 128),
        bounded("ips", _MOST_ADDRESSES, hook(_addresses, "ips"), distinct("ips")),
    ),
}
