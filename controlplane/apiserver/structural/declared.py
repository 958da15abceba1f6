"""The types that expressions of a schema see, and how large values of them can be. Pure.

Source: the reference of x-kubernetes-validations (which fields are seen, and as what) and its limits of cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apimachinery.cel.estimation.costs import Path
from apimachinery.cel.estimation.ranges import Range
from apimachinery.cel.types.kinds import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    object_type,
)
from apimachinery.objects import Obj
from controlplane.apiserver.expressions.published import RESERVED, escaped
from controlplane.apiserver.structural.reading import EMBEDDED, INT_OR_STRING, named, one

LARGEST = 3 * 1024 * 1024
"""Bytes of a request, as far as costs are concerned."""
SELF = "selfType"
# Formats that are no text to an expression: type, smallest and largest in JSON.
_FORMATS: dict[str, tuple[Type, int, int]] = {
    "byte": (BYTES, 2, LARGEST - 2),
    "date": (TIMESTAMP, 12, 12),
    "date-time": (TIMESTAMP, 21, 32),
    "duration": (DURATION, 3, 32),
}
_SCALARS = {"boolean": (BOOL, 4), "integer": (INT, 1), "number": (DOUBLE, 1)}
_TEXT = {"type": "string"}


@dataclass
class Declared:
    """type: what an expression sees; least: bytes that a value takes at least; most: characters or elements at most.

    fields: by the names that expressions have for them. element: of a list or map.
    """

    type: Type
    least: int
    most: int = 0
    element: Declared | None = None
    fields: dict[str, Declared] = field(default_factory=dict)

    def at(self, path: Path) -> Range | None:
        """How large what lies at a path can be; the first step names the variable."""
        here: Declared | None = self
        for step in path[1:]:
            if here is None:
                return None
            if step == "@keys":
                here = _KEY if here.type.kind == "map" else None
            else:
                here = here.element if step in ("@items", "@values") else here.fields.get(step)
        return None if here is None else Range(0, here.most)

    def how_often(self) -> int:
        """How many values of it there can be in one request."""
        return LARGEST // (self.least + 1)


_KEY = Declared(STRING, 2)


def with_meta(schema: Obj) -> Obj:
    """The schema of a whole object: expressions see its type and its name, whatever else is said of them."""
    properties = schema.get("properties") or {}
    meta = properties.get("metadata") or {}
    inner = meta.get("properties") or {}
    kinds = [(properties.get(name) or {}).get("type") for name in ("kind", "apiVersion")]
    kinds += [(inner.get(name) or {}).get("type") for name in ("name", "generateName")]
    if meta.get("type") == "object" and kinds == ["string"] * 4:
        return schema
    own = {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}}
    return {**schema, "properties": {**properties, "kind": _TEXT, "apiVersion": _TEXT, "metadata": own}}


def declared(schema: Obj, whole: bool, name: str = SELF) -> Declared | None:
    """What expressions see of a schema; None where they see nothing of it. whole: it is an object of the API."""
    if schema.get(INT_OR_STRING):
        longest = schema.get("maxLength")
        return Declared(DYN, 1, LARGEST - 2 if longest is None else max(longest, 0) * 4)
    schema = with_meta(schema) if whole else schema
    kind = schema.get("type") or ""
    makers: dict[str, Callable[[Obj, str], Declared | None]] = {"array": _list, "object": _object, "string": _text}
    if kind in makers:
        return makers[kind](schema, name)
    return Declared(*_SCALARS[kind]) if kind in _SCALARS else None


def _list(schema: Obj, name: str) -> Declared | None:
    items = one(schema.get("items"))
    element = declared(items, bool(items.get(EMBEDDED)), f"{name}.@idx") if items is not None else None
    if element is None:
        return None
    most = schema.get("maxItems")
    return Declared(
        list_of(element.type), 2, (LARGEST - 2) // (element.least + 1) if most is None else max(most, 0), element
    )


def _object(schema: Obj, name: str) -> Declared | None:
    if (more := one(schema.get("additionalProperties"))) is not None:
        element = declared(more, bool(more.get(EMBEDDED)), f"{name}.@elem")
        if element is None:
            return None
        most = schema.get("maxProperties")
        size = (LARGEST - 2) // (element.least + 6) if most is None else max(most, 0)
        return Declared(map_of(STRING, element.type), 2, size, element)
    made = Declared(object_type(name), 2)
    required = set(schema.get("required") or ())
    for title, part in named(schema):
        shown = escaped(title)
        inner = declared(part, bool(part.get(EMBEDDED)), f"{name}.{shown or title}")
        if inner is None:
            continue
        if shown:
            made.fields[shown] = inner
        if title in required and part.get("default") is None:
            made.least += len(title.encode()) + inner.least + 4
    return made


def _text(schema: Obj, _name: str) -> Declared:
    longest = schema.get("maxLength")
    if (form := _FORMATS.get(schema.get("format") or "")) is not None:
        kind, least, most = form
        return Declared(kind, least, max(longest, 0) if kind is BYTES and longest is not None else most)
    if longest is not None:
        return Declared(STRING, 2, max(longest, 0) * 4)
    if allowed := schema.get("enum"):
        return Declared(STRING, 2, max((len(each.encode()) for each in allowed if isinstance(each, str)), default=0))
    return Declared(STRING, 2, LARGEST - 2)


class DeclaredTypes:
    """The types of the objects in what is declared, by their names."""

    def __init__(self, root: Declared) -> None:
        self._fields: dict[str, dict[str, Declared]] = {}
        waiting = [root]
        while waiting:
            one_of = waiting.pop()
            if one_of.type.kind == "object":
                self._fields[one_of.type.name] = one_of.fields
            waiting += [*one_of.fields.values(), *([one_of.element] if one_of.element is not None else [])]

    def known(self, name: str) -> bool:
        return name in self._fields

    def field(self, name: str, field: str) -> Type | None:
        fields: dict[str, Any] = self._fields[name]
        found = fields.get(field)
        if found is None and field in RESERVED:
            found = fields.get(f"__{field}__")
        return None if found is None else found.type
