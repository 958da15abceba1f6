"""Reading a JSONSchemaProps: its parts, and what of it no structural schema can say. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.objects import Obj

LIST_TYPE, MAP_TYPE, MAP_KEYS = "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"
PRESERVES, EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
INT_OR_STRING, VALIDATIONS = "x-kubernetes-int-or-string", "x-kubernetes-validations"
# In the order in which upstream looks for them.
_UNSTRUCTURED = ("id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions")
_QUANTORS = ("not", "allOf", "anyOf", "oneOf")


def one(value: Any) -> Obj | None:
    """The schema in a field that may hold something else: true or false, or a list of schemas."""
    return value if isinstance(value, dict) else None


def several(value: Any) -> list[Obj]:
    """The schemas in a field that holds a list of them."""
    return list(value) if isinstance(value, list) else []


def untyped(value: Any) -> Any:
    """A value of a custom resource as messages show it: its names in order."""
    if isinstance(value, dict):
        return {name: untyped(value[name]) for name in sorted(value)}
    return [untyped(item) for item in value] if isinstance(value, list) else value


def clauses(schema: Obj, field: str) -> list[Obj]:
    """What stands under `not`, allOf, anyOf or oneOf."""
    value = schema.get(field)
    return [value] if isinstance(value, dict) else several(value)


def named(schema: Obj, field: str = "properties") -> list[tuple[str, Obj]]:
    """The schemas of a map, by name."""
    return sorted((schema.get(field) or {}).items())


def everything(schema: Obj | None) -> Iterator[Obj]:
    """A schema and all that is inside it."""
    if schema is None:
        return
    yield schema
    below = [item for field in ("items", "additionalProperties", "additionalItems") if (item := one(schema.get(field)))]
    below += several(schema.get("items"))
    below += [clause for field in _QUANTORS for clause in clauses(schema, field)]
    below += [part for field in ("properties", "patternProperties", "definitions") for _, part in named(schema, field)]
    below += [part for _, part in named(schema, "dependencies") if isinstance(part, dict)]
    for part in below:
        yield from everything(part)


def not_structural(schema: Obj | None) -> str:
    """Why no structural schema can be made of it, "" when one can. Nothing is said of the form it then has."""
    if schema is None:
        return ""
    for field in _UNSTRUCTURED:
        if schema.get(field) not in (None, "", {}):
            return f"OpenAPIV3Schema '{field.removeprefix('$') if field == '$schema' else field}' is not supported"
    for field in _QUANTORS:
        for clause in clauses(schema, field):
            if wrong := not_structural(clause):
                return wrong
    if schema.get(PRESERVES) is False:
        return f"internal error: '{PRESERVES}' must be true or undefined"
    if several(schema.get("items")):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    below = [one(schema.get("items")), *(part for _, part in named(schema)), one(schema.get("additionalProperties"))]
    return next((wrong for part in below if (wrong := not_structural(part))), "")
