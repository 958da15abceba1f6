"""Where a container finds its volumes: mounted, or as raw devices."""

from __future__ import annotations

from apimachinery import errors
from controlplane.apiserver.validation.fields import Found, Obj, enum, relative_path

_RAW = ("persistentVolumeClaim", "ephemeral")


def mounts(path: str, container: Obj, volumes: dict[str, Obj]) -> Found:
    """volumeMounts of a container; the paths of their details carry no index, as upstream's."""
    devices = container.get("volumeDevices") or []
    device_names = {device.get("name") for device in devices}
    device_places = {device.get("devicePath") for device in devices}
    found: Found = []
    places: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where, title, place = f"{path}.volumeMounts[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not title:
            found.append(errors.required(f"{where}.name"))
        elif title not in volumes:
            found.append(errors.field_not_found(f"{where}.name", title))
        if not place:
            found.append(errors.required(f"{where}.mountPath"))
        if place in places:
            found.append(errors.invalid(f"{where}.mountPath", place, "must be unique"))
        places.add(place)
        if title in device_names:
            found.append(errors.invalid(f"{where}.name", title, "must not already exist in volumeDevices"))
        if place in device_places:
            text = "must not already exist as a path in volumeDevices"
            found.append(errors.invalid(f"{where}.mountPath", place, text))
        found += _details(f"{path}.volumeMounts", mount, container)
    return found


def _details(path: str, mount: Obj, container: Obj) -> Found:
    found: Found = []
    for field in ("subPath", "subPathExpr"):
        if mount.get(field):
            found += relative_path(f"{path}.{field}", mount[field])
    if mount.get("subPath") and mount.get("subPathExpr"):
        text = "subPathExpr and subPath are mutually exclusive"
        found.append(errors.invalid(f"{path}.subPathExpr", mount["subPathExpr"], text))
    if mode := mount.get("mountPropagation"):
        found += enum(f"{path}.mountPropagation", mode, ("Bidirectional", "HostToContainer", "None"))
        privileged = (container.get("securityContext") or {}).get("privileged")
        if mode == "Bidirectional" and not privileged:
            text = "Bidirectional mount propagation is available only to privileged containers"
            found.append(errors.field_forbidden(f"{path}.mountPropagation", text))
    if mount.get("recursiveReadOnly") not in (None, "Disabled") and not mount.get("readOnly"):
        text = "may only be specified when readOnly is true"
        found.append(errors.field_forbidden(f"{path}.recursiveReadOnly", text))
    return found


def devices(path: str, container: Obj, volumes: dict[str, Obj]) -> Found:
    """volumeDevices of a container."""
    mounted = container.get("volumeMounts") or []
    names, places = {mount.get("name") for mount in mounted}, {mount.get("mountPath") for mount in mounted}
    found: Found = []
    known_names: set[str] = set()
    known_places: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        where, title, place = f"{path}.volumeDevices[{index}]", device.get("name") or "", device.get("devicePath") or ""
        found += _device_name(f"{where}.name", title, volumes, known_names)
        if not place:
            found.append(errors.required(f"{where}.devicePath"))
        if place in known_places:
            found.append(errors.invalid(f"{where}.devicePath", place, "must be unique"))
        if ".." in place.split("/"):
            found.append(errors.invalid(f"{where}.devicePath", place, "can not contain backsteps ('..')"))
        elif place:
            known_places.add(place)
        if title in names:
            found.append(errors.invalid(f"{where}.name", title, "must not already exist in volumeMounts"))
        if place in places:
            text = "must not already exist as a path in volumeMounts"
            found.append(errors.invalid(f"{where}.devicePath", place, text))
    return found


def _device_name(path: str, title: str, volumes: dict[str, Obj], known: set[str]) -> Found:
    found: Found = []
    if not title:
        found.append(errors.required(path))
    elif title in known:
        found.append(errors.invalid(path, title, "must be unique"))
    if title and title not in volumes:
        found.append(errors.field_not_found(path, title))
    elif title and not any(volumes[title].get(kind) is not None for kind in _RAW):
        text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        found.append(errors.invalid(path, title, text))
    known.add(title)
    return found
