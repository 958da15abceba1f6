"""Where a container finds its volumes: mounted, or as raw devices."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.podspec import volumes_of
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import descending_path, no_way_up
from controlplane.apiserver.rules.words import hook

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_NO_BLOCK = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"


def _others(at: Place, field: str, *names: str) -> tuple[set[str], set[str]]:
    """The names and the places of what the container takes in the other way."""
    name, place = names
    listed = at.above().value.get(field) or ()
    last = {item.get(name) or "": item.get(place) or "" for item in listed}
    return set(last), set(last.values())


def _mount(mount: Obj, at: Place) -> Iterator[FieldError]:
    title, place = mount.get("name") or "", mount.get("mountPath") or ""
    seen = at.seen("places")
    if not title:
        yield errors.required(at.to("name"))
    if title not in volumes_of(at):
        yield errors.field_not_found(at.to("name"), title)
    if not place:
        yield errors.required(at.to("mountPath"))
    if place in seen:
        yield errors.invalid(at.to("mountPath"), place, "must be unique")
    seen.add(place)
    if at.above().value.get("volumeDevices"):
        names, places = _others(at, "volumeDevices", "name", "devicePath")
        if title in names:
            yield errors.invalid(at.to("name"), title, "must not already exist in volumeDevices")
        if place in places:
            yield errors.invalid(at.to("mountPath"), place, "must not already exist as a path in volumeDevices")


def _mount_details(mount: Obj, at: Place) -> Iterator[FieldError]:
    """The paths of these carry no index, but for one."""
    where = at.above().to("volumeMounts")
    if path := mount.get("subPath"):
        yield from descending_path(f"{where}.subPath", path)
    if path := mount.get("subPathExpr"):
        if mount.get("subPath"):
            yield errors.invalid(at.to("subPathExpr"), path, "subPathExpr and subPath are mutually exclusive")
        yield from descending_path(f"{where}.subPathExpr", path)
    mode = mount.get("mountPropagation")
    if mode is not None:
        if mode not in _PROPAGATION:
            yield errors.not_supported(f"{where}.mountPropagation", mode, _PROPAGATION)
        if mode == "Bidirectional" and not (at.above().value.get("securityContext") or {}).get("privileged"):
            text = "Bidirectional mount propagation is available only to privileged containers"
            yield errors.field_forbidden(f"{where}.mountPropagation", text)
    recursive = mount.get("recursiveReadOnly")
    if recursive is None or recursive == "Disabled":
        return
    where = f"{where}.recursiveReadOnly"
    if recursive not in _RECURSIVE:
        yield errors.not_supported(where, recursive, _RECURSIVE)
        return
    if not mount.get("readOnly"):
        yield errors.field_forbidden(where, "may only be specified when readOnly is true")
    if mode not in (None, "None"):
        yield errors.field_forbidden(where, "may only be specified when mountPropagation is None or not specified")


def _device(device: Obj, at: Place) -> Iterator[FieldError]:
    title, place = device.get("name") or "", device.get("devicePath") or ""
    names, places = at.seen("names"), at.seen("places")
    volume = volumes_of(at).get(title)
    if not title:
        yield errors.required(at.to("name"))
    if title in names:
        yield errors.invalid(at.to("name"), title, "must be unique")
    if volume is None:
        yield errors.field_not_found(at.to("name"), title)
    elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
        yield errors.invalid(at.to("name"), title, _NO_BLOCK)
    if not place:
        yield errors.required(at.to("devicePath"))
    if place in places:
        yield errors.invalid(at.to("devicePath"), place, "must be unique")
    if no_way_up("", place):
        yield errors.invalid(at.to("devicePath"), place, "can not contain backsteps ('..')")
    else:
        places.add(place)
    mounted, mounted_at = _others(at, "volumeMounts", "name", "mountPath")
    if title in mounted:
        yield errors.invalid(at.to("name"), title, "must not already exist in volumeMounts")
    if place in mounted_at:
        yield errors.invalid(at.to("devicePath"), place, "must not already exist as a path in volumeMounts")
    if title:
        names.add(title)


RULES: dict[str, Row] = {
    "core.v1.VolumeMount": (
        hook(_mount),
        hook(_mount_details, "subPath", "subPathExpr", "mountPropagation", "recursiveReadOnly"),
    ),
    "core.v1.VolumeDevice": (hook(_device),),
}
