"""Defaults in schemas: each is pruned already and is what its schema describes. Pure.

Defaults of the metadata of embedded objects are not looked at: what surrounds them is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.structural import conforming
from controlplane.apiserver.structural.reading import EMBEDDED, PRESERVES, everything, named, one

_META = ("apiVersion", "kind", "metadata")


def check(schema: Obj, path: str, pruned: bool, root: bool = True) -> Iterator[FieldError]:
    """What is wrong with the defaults in a structural schema. pruned: they may hold nothing that is not described."""
    value = schema.get("default")
    if value is not None:
        if pruned and unknown(value, schema):
            yield errors.invalid(f"{path}.default", value, "must not have unknown fields")
        yield from conforming.wrong(value, schema, f"{path}.default")
    if (items := one(schema.get("items"))) is not None:
        yield from check(items, f"{path}.items", pruned, False)
    for name, part in named(schema):
        if not (name in _META and (root or schema.get(EMBEDDED))):
            yield from check(part, f"{path}.properties[{name}]", pruned, False)


def all_pruned(schemas: list[Obj]) -> bool:
    """Whether no default in these schemas holds what they do not describe."""
    return not any(
        node.get("default") is not None and unknown(node["default"], node)
        for schema in schemas
        for node in everything(schema)
    )


def unknown(value: Any, schema: Obj | None, kept: bool = False) -> bool:
    """Whether there is something in a value that its schema does not describe, and would be pruned.

    kept: what lies directly in it stays, described or not.
    """
    described, kept = schema or {}, kept or bool((schema or {}).get(PRESERVES))
    if isinstance(value, list):
        return any(unknown(item, one(described.get("items")), kept) for item in value)
    if not isinstance(value, dict):
        return False
    known, more = described.get("properties") or {}, described.get("additionalProperties")
    for key, item in value.items():
        if described.get(EMBEDDED) and key in _META:
            continue
        if key in known:
            inner: Obj | None = known[key]
        elif more is not None:
            inner = one(more)
        elif kept:
            continue
        else:
            return True
        if unknown(item, inner):
            return True
    return False
