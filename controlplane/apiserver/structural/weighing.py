"""How much work a byte of an object can make by its schema: for a size alone does not tell it. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.objects import Obj
from controlplane.apiserver.structural.node import Structural
from controlplane.apiserver.structural.reading import clauses, named, one

_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
# The bytes of the least that brings a default: `{},` the members of an object, `null,` a value itself.
_EMPTY, _NULL = 3, 5
# So many bytes of defaults are set, and clauses tried, in the time that reading a byte or a value of a body takes.
_BYTES, _CLAUSES = 8, 4


def weight(schema: Structural) -> int:
    """How many bytes of an object without schema a byte of one with it is worth in work; at least 1."""
    return max(1, int(_growth(schema)[1]) // _BYTES, _tried(schema.raw) // _CLAUSES)


def default_bytes(default: Any) -> int:
    """A default's length as JSON."""
    return len(orjson.dumps(default))


def _growth(schema: Structural) -> tuple[float, float]:
    """Bytes of defaults that a byte of what is in a value can bring; and of what there may be many of in it alone, the
    items of a list or of a map.
    """
    inside = {name: _growth(part) for name, part in schema.properties.items()}
    many = [0.0]
    for part in (schema.items, schema.more):
        if part is not None:
            within, _ = _growth(part)
            # What is in a default is filled in, too.
            many += [within, 0 if part.default is None else default_bytes(part.default) * (1 + within) / _NULL]
    brought = sum(
        (len(name) + default_bytes(default)) * (1 + inside[name][0]) for name, default in schema.defaults.items()
    )
    return (
        max(brought / _EMPTY, *many, *(within for within, _ in inside.values())),
        max([*many, *(again for _, again in inside.values())]),
    )


def _tried(schema: Obj) -> int:
    """How many schemas one value may be held against, and listed values that it is compared with one by one."""
    below = [part for _, part in named(schema)]
    below += [part for field in ("items", "additionalProperties") if (part := one(schema.get(field))) is not None]
    compared = sum(isinstance(each, dict | list) for each in schema.get("enum") or ())
    held = [clause for field in _JUNCTORS for clause in clauses(schema, field)]
    return max([1, *map(_tried, below)]) + compared + sum(map(_tried, held))
