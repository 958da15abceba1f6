"""CDI devices for a runtime that knows none of them (containerd before 1.7, or one whose CDI is off): their
specifications are read here, and what they ask for is put into the container's configuration.

What only a runtime can do (hooks, RDT, mounts that are no bind) is refused by name: a container without it would run
and be wrong. Source: https://github.com/cncf-tags/container-device-interface (SPEC.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.failures import ConfigError
from apimachinery.manifests import ManifestError, load_value

_SUFFIXES = (".json", ".yaml")


@dataclass(frozen=True)
class Edits:
    """What a container gets: variables, (path inside, path on the node, permissions) of device nodes, (path inside,
    path on the node, read-only) of mounts, and further groups."""

    env: tuple[tuple[str, str], ...] = ()
    nodes: tuple[tuple[str, str, str], ...] = ()
    mounts: tuple[tuple[str, str, bool], ...] = ()
    groups: tuple[int, ...] = ()


def edits(names: Sequence[str], directories: Sequence[Path]) -> Edits:
    """Of the devices `vendor.com/class=name`. Raises ConfigError."""
    specs = _specs(directories) if names else []
    found: list[Mapping[str, Any]] = []
    common: list[int] = []
    for device in names:
        kind, _, wanted = device.partition("=")
        # The directory named last wins, as in every runtime.
        spec, entry = next(
            ((s, d) for s in reversed(specs) if s.get("kind") == kind for d in s["devices"] if d["name"] == wanted),
            (None, None),
        )
        if spec is None or entry is None:
            raise ConfigError(f"unresolvable CDI devices {device}")
        if id(spec) not in common:
            common.append(id(spec))
            found.append(spec.get("containerEdits") or {})
        found.append(entry.get("containerEdits") or {})
    try:
        return _added(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"the specification of CDI devices {', '.join(names)} is malformed ({error!r})") from error


def _specs(directories: Iterable[Path]) -> list[Mapping[str, Any]]:
    found = []
    for directory in directories:
        for file in sorted(directory.iterdir()) if directory.is_dir() else ():
            if file.suffix in _SUFFIXES and (spec := _read(file)) is not None:
                found.append(spec)
    return found


def _read(file: Path) -> Mapping[str, Any] | None:
    """None for what is no specification: another's broken file takes no device away from anybody."""
    try:
        told = load_value(file.read_bytes())
    except (OSError, ManifestError):
        return None
    devices = told.get("devices") if isinstance(told, dict) else None
    usable = isinstance(devices, list) and all(isinstance(d, dict) and isinstance(d.get("name"), str) for d in devices)
    return told if usable else None


def _added(found: Iterable[Mapping[str, Any]]) -> Edits:
    env: list[tuple[str, str]] = []
    nodes: list[tuple[str, str, str]] = []
    mounts: list[tuple[str, str, bool]] = []
    groups: list[int] = []
    for each in found:
        if cannot := [key for key in ("hooks", "intelRdt", "netDevices") if each.get(key)]:
            raise ConfigError(f"the runtime knows no CDI devices, and {', '.join(cannot)} of theirs take one that does")
        pairs = (text.partition("=") for text in each.get("env") or ())
        env += [(key, value) for key, _, value in pairs]
        for node in each.get("deviceNodes") or ():
            nodes.append((node["path"], node.get("hostPath") or node["path"], node.get("permissions") or "rwm"))
        for mount in each.get("mounts") or ():
            options = mount.get("options") or ()
            if mount.get("type") not in (None, "", "none", "bind"):
                raise ConfigError(f"the runtime knows no CDI devices, and a mount of type {mount['type']} takes one")
            mounts.append((mount["containerPath"], mount["hostPath"], "ro" in options))
        groups += map(int, each.get("additionalGids") or ())
    return Edits(tuple(env), tuple(nodes), tuple(mounts), tuple(groups))
