"""What the files of a configMap, secret, downwardAPI or projected volume hold; pure.

Sources: https://kubernetes.io/docs/concepts/storage/volumes/ and .../projected-volumes/ . Paths are relative and have
been validated by the API server; they are checked again because static pods never met it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.downward import FieldPathError, container_named, metadata_field, resource_field
from agent.failures import NotNow
from apimachinery.objects import Obj

DEFAULT_MODE = 0o644


@dataclass(frozen=True)
class FileEntry:
    """One file: bytes, permission bits, and an owner other than root."""

    data: bytes
    mode: int = DEFAULT_MODE
    uid: int | None = None


Payload = Mapping[str, FileEntry]


class PayloadError(NotNow):
    """The objects do not hold what the volume asks for; the text is the user's."""


def config_map_payload(source: Mapping[str, Any], found: Obj | None, default_mode: int | None = None) -> Payload:
    """Files of a configMap volume or source; `found` is None where there is no such object."""
    if found is None:
        _require_optional(source, "configmap", source.get("name", ""))
        return {}
    data = {key: text.encode() for key, text in (found.get("data") or {}).items()}
    data.update({key: base64.b64decode(text) for key, text in (found.get("binaryData") or {}).items()})
    return _select(source, data, default_mode, "configmap references non-existent config key: ")


def secret_payload(source: Mapping[str, Any], found: Obj | None, default_mode: int | None = None) -> Payload:
    """Files of a secret volume (secretName) or source (name)."""
    if found is None:
        _require_optional(source, "secret", source.get("secretName") or source.get("name", ""))
        return {}
    data = {key: base64.b64decode(text) for key, text in (found.get("data") or {}).items()}
    return _select(source, data, default_mode, "references non-existent secret key: ")


def downward_payload(
    source: Mapping[str, Any], pod: Obj, allocatable: Mapping[str, str], default_mode: int | None = None
) -> Payload:
    """Files of a downwardAPI volume or source."""
    mode = _mode(source.get("defaultMode"), default_mode)
    files: dict[str, FileEntry] = {}
    for item in source.get("items") or []:
        try:
            if "fieldRef" in item:
                text = metadata_field(pod, item["fieldRef"].get("fieldPath", ""))
            else:
                ref = item.get("resourceFieldRef") or {}
                container = container_named(pod, ref.get("containerName", ""))
                text = resource_field(container, ref, allocatable)
        except FieldPathError as error:
            raise PayloadError(str(error)) from error
        files[checked_path(item["path"])] = FileEntry(text.encode(), _mode(item.get("mode"), mode))
    return files


def token_payload(source: Mapping[str, Any], token: str, mode: int, fs_group: int | None, owner: int | None) -> Payload:
    """The file of a serviceAccountToken source: private where the pod says who reads it."""
    private = fs_group is not None or owner is not None
    path = checked_path(source["path"])
    return {path: FileEntry(token.encode(), 0o600 if private else mode, owner)}


def merge(payloads: Iterable[Payload]) -> Payload:
    """Sources of a projected volume in order; a later file wins."""
    merged: dict[str, FileEntry] = {}
    for payload in payloads:
        merged.update(payload)
    return merged


def checked_path(path: str) -> str:
    """`path` if it stays inside the volume; raises PayloadError."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise PayloadError(f"invalid path {path!r}: must be relative, without '..', and not start with '..'")
    return "/".join(part for part in parts if part not in ("", "."))


def single_user(pod: Obj) -> int | None:
    """The user every container runs as, where all say the same."""
    spec = pod.get("spec", {})
    default = (spec.get("securityContext") or {}).get("runAsUser")
    users = set()
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(group) or []:
            users.add((container.get("securityContext") or {}).get("runAsUser", default))
    return users.pop() if len(users) == 1 else None


def _select(source: Mapping[str, Any], data: Mapping[str, bytes], default_mode: int | None, missing: str) -> Payload:
    mode = _mode(source.get("defaultMode"), default_mode)
    items = source.get("items")
    if not items:
        return {checked_path(key): FileEntry(data[key], mode) for key in sorted(data)}
    files: dict[str, FileEntry] = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise PayloadError(missing + item["key"])
        files[checked_path(item["path"])] = FileEntry(data[item["key"]], _mode(item.get("mode"), mode))
    return files


def _mode(own: int | None, default: int | None) -> int:
    if own is not None:
        return own
    return DEFAULT_MODE if default is None else default


def _require_optional(source: Mapping[str, Any], resource: str, name: str) -> None:
    if not source.get("optional"):
        raise PayloadError(f'{resource} "{name}" not found', settling=True)
