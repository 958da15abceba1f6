"""Volumes of a pod."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.validation import claims, containers
from controlplane.apiserver.validation.fields import (
    Found,
    Obj,
    amount,
    enum,
    local_path,
    name,
    no_way_up,
)

_HOST_PATHS = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
# In upstream's order: the first source found is checked, every further one is one too many.
_ORDER = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flexVolume",
    "configMap",
    "cinder",
    "cephfs",
    "flocker",
    "rbd",
    "downwardAPI",
    "fc",
    "azureFile",
    "azureDisk",
    "portworxVolume",
    "vsphereVolume",
    "photonPersistentDisk",
    "persistentVolumeClaim",
    "quobyte",
    "scaleIO",
    "projected",
    "storageos",
    "csi",
    "ephemeral",
    "image",
)


def volumes(path: str, listed: list[Obj]) -> tuple[Found, dict[str, Obj]]:
    """What is wrong with a pod's volumes, and those that can be mounted, by name."""
    found: Found = []
    sound: dict[str, Obj] = {}
    seen: set[str] = set()
    for index, volume in enumerate(listed):
        where, before = f"{path}[{index}]", len(found)
        found += _sources(where, volume)
        title = volume.get("name") or ""
        if not title:
            found.append(errors.required(f"{where}.name"))
        else:
            found += name(f"{where}.name", title, formats.dns1123_label)
        if title in seen and title:
            found.append(errors.duplicate(f"{where}.name", title))
        seen.add(title)
        if len(found) == before:
            sound[title] = volume
    return found, sound


def _sources(path: str, volume: Obj) -> Found:
    found: Found = []
    given = [kind for kind in _ORDER if volume.get(kind) is not None]
    for extra in given[1:]:
        found.append(errors.field_forbidden(f"{path}.{extra}", "may not specify more than 1 volume type"))
    if not given:
        return [errors.required(path, "must specify a volume type")]
    kind, source = given[0], volume[given[0]]
    return volume_source(f"{path}.{kind}", kind, source) + found


def volume_source(path: str, kind: str, source: Obj) -> Found:
    """One source of a volume, by the name of its kind."""
    if kind == "emptyDir":
        limit = source.get("sizeLimit")
        if limit is not None and amount(limit) < amount(0):
            text = "SizeLimit field must be a valid resource quantity"
            return [errors.field_forbidden(f"{path}.sizeLimit", text)]
        return []
    if kind == "hostPath":
        target = source.get("path") or ""
        found = [errors.required(f"{path}.path")] if not target else no_way_up(f"{path}.path", target)
        return found + enum(f"{path}.type", source.get("type") or "", _HOST_PATHS)
    if kind == "secret":
        found = [] if source.get("secretName") else [errors.required(f"{path}.secretName")]
        return found + _mode(f"{path}.defaultMode", source.get("defaultMode")) + items(path, source)
    if kind == "configMap":
        found = [] if source.get("name") else [errors.required(f"{path}.name")]
        return found + _mode(f"{path}.defaultMode", source.get("defaultMode")) + items(path, source)
    if kind == "downwardAPI":
        return _mode(f"{path}.defaultMode", source.get("defaultMode")) + _downward(path, source.get("items") or [])
    if kind == "persistentVolumeClaim":
        return [] if source.get("claimName") else [errors.required(f"{path}.claimName")]
    if kind == "projected":
        return _projected(path, source)
    return _other(path, kind, source)


def _other(path: str, kind: str, source: Obj) -> Found:
    if kind == "ephemeral":
        return _ephemeral(path, source)
    if kind == "image":
        found = [] if source.get("reference") else [errors.required(f"{path}.reference")]
        return found + enum(f"{path}.pullPolicy", source.get("pullPolicy") or "", containers.PULL_POLICIES)
    if kind == "nfs":
        found = [] if source.get("server") else [errors.required(f"{path}.server")]
        return found if source.get("path") else [*found, errors.required(f"{path}.path")]
    first = {"gitRepo": "repository", "flexVolume": "driver", "csi": "driver"}.get(kind)
    if first and not source.get(first):
        return [errors.required(f"{path}.{first}")]
    return []


def _mode(path: str, mode: int | None) -> Found:
    return [errors.invalid(path, mode, _MODE_TEXT)] if mode is not None and not 0 <= mode <= 0o777 else []


def items(path: str, source: Obj) -> Found:
    """keys to paths of a Secret or ConfigMap volume."""
    found: Found = []
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        if not item.get("key"):
            found.append(errors.required(f"{where}.key"))
        found += _path(f"{where}.path", item.get("path"))
        found += _mode(f"{where}.mode", item.get("mode"))
    return found


def _path(path: str, value: str | None) -> Found:
    return local_path(path, value) if value else [errors.required(path)]


def _downward(path: str, listed: list[Obj]) -> Found:
    found: Found = []
    for item in listed:
        found += _path(f"{path}.path", item.get("path"))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            found += containers.field_reference(f"{path}.fieldRef", field, _FIELDS)
            if resource is not None:
                text = "fieldRef and resourceFieldRef can not be specified simultaneously"
                found.append(errors.invalid(path, "resource", text))
        if resource is not None:
            found += containers.resource_reference(f"{path}.resourceFieldRef", resource, volume=True)
        elif field is None:
            text = "one of fieldRef and resourceFieldRef is required"
            found.append(errors.required(path, text))
        found += _mode(f"{path}.mode", item.get("mode"))
    return found


def _projected(path: str, source: Obj) -> Found:
    found = _mode(f"{path}.defaultMode", source.get("defaultMode"))
    taken: set[str] = set()
    for index, entry in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        kinds = [k for k in ("secret", "configMap", "downwardAPI", "serviceAccountToken") if entry.get(k) is not None]
        if len(kinds) > 1:
            found.append(errors.field_forbidden(where, "may not specify more than 1 volume type per source"))
            kinds = kinds[:1]
        for kind in kinds:
            found += _projection(path, where, kind, entry[kind])
            for target in _targets(kind, entry[kind]):
                if target in taken:
                    found.append(errors.invalid(path, _owner(kind, entry[kind]), "conflicting duplicate paths"))
                taken.add(target)
    return found


def _owner(kind: str, source: Obj) -> str:
    return str(source.get("name") or kind)


def _targets(kind: str, source: Obj) -> list[str]:
    if kind == "serviceAccountToken":
        return [source["path"]] if source.get("path") else []
    return [item["path"] for item in source.get("items") or () if item.get("path")]


def _projection(path: str, where: str, kind: str, source: Obj) -> Found:
    if kind in ("secret", "configMap"):
        found = [] if source.get("name") else [errors.required(f"{where}.{kind}.name")]
        return found + items(f"{where}.{kind}", source)
    if kind == "downwardAPI":
        return _downward(f"{where}.{kind}", source.get("items") or [])
    found = []
    seconds = source.get("expirationSeconds", 3600)
    if seconds < 600:
        text = "may not specify a duration less than 10 minutes"
        found.append(errors.invalid(f"{where}.{kind}.expirationSeconds", seconds, text))
    if not source.get("path"):
        found.append(errors.required(f"{path}.path"))
    return found


def _ephemeral(path: str, source: Obj) -> Found:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [errors.required(f"{path}.volumeClaimTemplate")]
    where = f"{path}.volumeClaimTemplate"
    found: Found = []
    for field in sorted(template.get("metadata") or {}):
        if field not in ("labels", "annotations"):
            found.append(errors.field_forbidden(f"{where}.metadata.{field}", "cannot be set"))
    return found + claims.claim_spec(f"{where}.spec", template.get("spec") or {})
