"""What /statusz and /flagz answer, which every component has: since when it runs as what, and how it is set. Pure.

Sources: KEP-4827 (statusz), KEP-4828 (flagz); config.k8s.io/v1beta1 as in 1.36. As text, which is for people and may
change, or as an object where the client asks for `application/json;as=Statusz;v=v1beta1;g=config.k8s.io`.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from apimachinery import accept, errors, version, yamltext
from apimachinery.objects import Obj, dumps
from apimachinery.timestamps import format_time

STATUSZ, FLAGZ = "/statusz", "/flagz"
GROUP = "config.k8s.io"
_OLD, _NEW = "v1alpha1", "v1beta1"
# In upstream's words.
_HIDDEN = "CLASSIFIED"
_JSON, _YAML, _TEXT = "application/json", "application/yaml", "text/plain"
# What is for programs, and no page for whoever looks for a fault.
_UNLISTED = {"/apis", "/api", "/openid", "/openapi", "/.well-known"}
_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)


@dataclass(frozen=True)
class Component:
    """A running component. settings: its dataclass of settings; paths: all that it serves."""

    name: str
    started: datetime
    settings: Any
    paths: tuple[str, ...]


Page = tuple[int, bytes, str, Mapping[str, str]]
"""(status, body, content type, further headers)"""


def page(path: str, component: Component, header: str, now: datetime) -> Page:
    """The answer at STATUSZ or FLAGZ to a client whose Accept header says `header`."""
    kind = "Statusz" if path == STATUSZ else "Flagz"
    chosen = _chosen(header, kind)
    if chosen is None:
        refusal = errors.NotAcceptable(f"only the following media types are accepted: {_JSON}, {_YAML}, {_TEXT}")
        return 406, dumps(refusal.status()), _JSON, {}
    media, asked = chosen
    said = _status(component, now) if kind == "Statusz" else {"flags": flags(component.settings)}
    if media == _TEXT:
        lines = _status_lines(said, component.started) if kind == "Statusz" else _flag_lines(said["flags"])
        text = "\n".join(("", f"{component.name} {kind.lower()}", _WARNING, *lines, ""))
        return 200, text.encode(), f"{_TEXT}; charset=utf-8", {}
    obj = {"kind": kind, "apiVersion": f"{GROUP}/{asked}", "metadata": {"name": component.name}, **said}
    told = f"This version of the {kind.lower()} endpoint is deprecated. Please use a newer version."
    headers = {"Warning": f'299 - "{told}"'} if asked == _OLD else {}
    return 200, dumps(obj) + b"\n" if media == _JSON else yamltext.dumps(obj), media, headers


def _chosen(header: str, kind: str) -> tuple[str, str] | None:
    """(media type, version) of what the client takes; a version "" stands for text."""
    if not header.strip():
        return _TEXT, ""
    for clause in accept.parse(header):
        shape = tuple(clause.parameters.get(key, "") for key in ("g", "as", "v"))
        for media in (_JSON, _YAML, _TEXT):
            if not clause.covers(media):
                continue
            if media == _TEXT and shape == ("", "", ""):
                return _TEXT, ""
            if media != _TEXT and shape[:2] == (GROUP, kind) and shape[2] in (_OLD, _NEW):
                return media, shape[2]
    return None


def _status(component: Component, now: datetime) -> Obj:
    return {
        "startTime": format_time(component.started),
        "uptimeSeconds": max(0, int((now - component.started).total_seconds())),
        "goVersion": version.language(),
        "binaryVersion": version.GIT_VERSION.removeprefix("v"),
        "emulationVersion": version.MINOR,
        "paths": listed(component.paths),
    }


def listed(paths: Iterable[str]) -> list[str]:
    """The first parts of the paths, each once."""
    first = {f"/{path.split('/')[1]}" for path in paths if path.startswith("/") and path != "/"}
    return sorted(first - _UNLISTED)


def _status_lines(said: Obj, started: datetime) -> Iterator[str]:
    seconds = said["uptimeSeconds"]
    yield ""
    yield f"Started: {started.astimezone(timezone.utc).strftime('%a %b %e %H:%M:%S %Z %Y')}"
    yield f"Up: {seconds // 3600} hr {seconds // 60 % 60:02d} min {seconds % 60:02d} sec"
    yield f"Go version: {said['goVersion']}"
    yield f"Binary version: {said['binaryVersion']}"
    yield f"Emulation version: {said['emulationVersion']}"
    yield f"Paths: {' '.join(said['paths'])}"


def _flag_lines(said: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(said.items())]


def flags(settings: Any, prefix: str = "") -> dict[str, str]:
    """Settings as flags would be called: `tls-cert-file`, `election.lease-duration`.

    They name the files in which secrets are, but for another program's configuration, which may hold a key itself: of
    that only plain values are shown.
    """
    found: dict[str, str] = {}
    for field in dataclasses.fields(settings):
        name, value = f"{prefix}{field.name.replace('_', '-')}", getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found |= flags(value, f"{name}.")
        else:
            found[name] = _shown(value)
    return found


def _shown(value: Any) -> str:
    """As Go's flags print themselves."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, (tuple, list, frozenset, set)):
        return f"[{','.join(map(_shown, value))}]"
    if isinstance(value, Mapping):
        nested = (Mapping, tuple, list)
        return ",".join(f"{key}={_HIDDEN if isinstance(each, nested) else _shown(each)}" for key, each in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (str, int, Path, ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return str(value)
    return repr(value)
