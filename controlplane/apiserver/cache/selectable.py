"""Fields that lists and watches may select on: how they are read from an object, and how one is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.objects import Obj

Getter = Callable[[Obj], str]

_UNKNOWN = '"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
_UNSUPPORTED = "field label not supported: {path}"


def path(text: str, default: str = "") -> Getter:
    """Reads the field at a dotted path as text; default where it is absent."""
    parts = text.split(".")

    def get(obj: Obj) -> str:
        value: Any = obj
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    return get


@dataclass(frozen=True)
class Selectable:
    """What a kind offers beside its name and namespace.

    getters: field -> how to read it. refusal: what is said of any other field, with {path} for it. node: the field (of
    getters) that names a node; the kind's collection then keeps an index by it, so that a node's watch costs what
    happens on that node.
    """

    getters: Mapping[str, Getter] = field(default_factory=dict)
    refusal: str = _UNKNOWN
    node: str = ""


NOTHING_MORE = Selectable()


def selectable(
    *paths: str,
    absent: Mapping[str, str] | None = None,
    read: Mapping[str, Getter] | None = None,
    refusal: str = _UNSUPPORTED,
    node: str = "",
) -> Selectable:
    """A Selectable of plain paths, of what some show where they are absent, and of fields read in another way."""
    found = {text: path(text, (absent or {}).get(text, "")) for text in paths}
    return Selectable({**found, **(read or {})}, refusal, node)


_NAME, _NAMESPACE = path("metadata.name"), path("metadata.namespace")


def getters(fields: Selectable, namespaced: bool) -> Mapping[str, Getter]:
    """Every field of a kind that can be selected on."""
    # What has no fields of its own takes upstream's two, also where nothing of the kind is in a namespace.
    both = namespaced or fields.refusal == _UNKNOWN
    own = {"metadata.name": _NAME, "metadata.namespace": _NAMESPACE} if both else {"metadata.name": _NAME}
    return {**own, **fields.getters}
