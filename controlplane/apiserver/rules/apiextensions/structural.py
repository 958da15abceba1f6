"""Whether a schema is structural: each value has one type that is said outside of conditions. Pure.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ (structural
schemas), KEP-1693's rules on embedded resources and x-kubernetes-int-or-string.
"""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, patterns
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.structural.reading import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_TYPE,
    MAP_KEYS,
    MAP_TYPE,
    PRESERVES,
    VALIDATIONS,
    clauses,
    named,
    one,
)

_EITHER = [{"type": "integer"}, {"type": "string"}]
_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
# What only the structure may say, and what is said of it inside a condition.
_OUTSIDE = {
    "type": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    PRESERVES: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    MAP_KEYS: "must be empty to be structural",
    LIST_TYPE: "must be undefined to be structural",
    MAP_TYPE: "must be undefined to be structural",
    VALIDATIONS: "must be empty to be structural",
}


def check(schema: Obj, path: str) -> list[FieldError]:
    """What keeps it from being structural, sorted as upstream does."""
    return sorted((*_invariants(schema, _ROOT, path), *_complete(schema, schema, path, path)), key=str)


def _invariants(schema: Obj, level: str, path: str) -> Iterator[FieldError]:
    items, more = one(schema.get("items")), schema.get("additionalProperties")
    if schema.get("type") == "array" and items is None:
        yield errors.required(f"{path}.items", "must be specified")
    if items is not None:
        yield from _invariants(items, _ITEM, f"{path}.items")
    for name, part in named(schema):
        yield from _invariants(part, _FIELD, f"{path}.properties[{name}]")
    if more is not None and level == _ROOT:
        yield errors.field_forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if (inner := one(more)) is not None:
        yield from _invariants(inner, _FIELD, f"{path}.additionalProperties")
    if schema.get(INT_OR_STRING):
        for field in (PRESERVES, EMBEDDED):
            if schema.get(field):
                yield errors.invalid(f"{path}.{field}", True, f"must be false if {INT_OR_STRING} is true")
    yield from _conditions(schema, _known(schema, 0), _known(schema, 1), path)
    yield from _type(schema, level, path)
    yield from _resource(schema, level, path)


def _known(schema: Obj, depth: int) -> bool:
    """The two ways of saying that something is a number or a text."""
    if depth == 0:
        return bool(schema.get("anyOf") == _EITHER)
    listed = clauses(schema, "allOf")
    return bool(listed) and listed[0].get("anyOf") == _EITHER


def _type(schema: Obj, level: str, path: str) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if schema.get(EMBEDDED) and kind != "object":
        text = f"must be object if {EMBEDDED} is true"
        yield errors.invalid(f"{path}.type", kind, text) if kind else errors.required(f"{path}.type", text)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVES):
        yield errors.required(f"{path}.type", f"must not be empty {level}")
    if schema.get(EMBEDDED) and schema.get("additionalProperties") is not None:
        yield errors.field_forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set")
    if level == _ROOT and kind and kind != "object":
        yield errors.invalid(f"{path}.type", kind, "must be object at the root")


def _resource(schema: Obj, level: str, path: str) -> Iterator[FieldError]:
    """What is an object of the API: at the root, and where it is embedded."""
    properties, whole = schema.get("properties") or {}, level == _ROOT or bool(schema.get(EMBEDDED))
    for field in ("kind", "apiVersion"):
        if whole and field in properties and properties[field].get("type") != "string":
            yield errors.invalid(
                f"{path}.properties[{field}].type", properties[field].get("type") or "", "must be string"
            )
    if "metadata" in properties:
        yield from _metadata(properties["metadata"], whole, level, f"{path}.properties[metadata]")
    if schema.get(EMBEDDED) and not schema.get(PRESERVES) and not properties:
        text = f"must not be empty if {EMBEDDED} is true without {PRESERVES}"
        yield errors.required(f"{path}.properties", text)


def _metadata(schema: Obj, whole: bool, level: str, path: str) -> Iterator[FieldError]:
    if whole and schema.get("type") != "object":
        yield errors.invalid(f"{path}.type", schema.get("type") or "", "must be object")
    if level != _ROOT:
        return
    fields = set(schema.get("properties") or ())
    free = {"type", "default", "properties"} if fields <= {"name", "generateName"} else {"type", "default"}
    if any(value and field not in free for field, value in schema.items()):
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield errors.field_forbidden(path, text)


# --- conditions ---


def _conditions(schema: Obj, known_any: bool, known_all: bool, path: str) -> Iterator[FieldError]:
    for field in ("anyOf", "allOf", "oneOf"):
        for index, clause in enumerate(clauses(schema, field)):
            if field == "anyOf" and known_any:
                break
            yield from _clause(clause, field == "allOf" and index == 0 and known_all, f"{path}.{field}[{index}]")
    if (refused := one(schema.get("not"))) is not None:
        yield from _clause(refused, False, f"{path}.not")
    if (pattern := schema.get("pattern")) and (wrong := patterns.complaint(pattern)):
        text = f"must be a valid regular expression, but isn't: {wrong}"
        yield errors.invalid(f"{path}.pattern", pattern, text)


def _clause(clause: Obj, known_any: bool, path: str) -> Iterator[FieldError]:
    yield from _conditions(clause, known_any, False, path)
    if (items := one(clause.get("items"))) is not None:
        yield from _clause(items, False, f"{path}.items")
    for name, part in named(clause):
        yield from _clause(part, False, f"{path}.properties[{name}]")
    if clause.get("additionalProperties") not in (None, False):
        yield errors.field_forbidden(f"{path}.additionalProperties", "must be undefined to be structural")
    for field, text in _OUTSIDE.items():
        if clause.get(field) or (field == "default" and clause.get(field) is not None):
            yield errors.field_forbidden(f"{path}.{field}", text)
    if "metadata" in (clause.get("properties") or {}):
        yield errors.field_forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


# --- each condition speaks of what the structure has ---


def _complete(condition: Obj, schema: Obj, path: str, said: str) -> Iterator[FieldError]:
    for field in ("not", "allOf", "anyOf", "oneOf"):
        for index, clause in enumerate(clauses(condition, field)):
            where = f"{said}.not" if field == "not" else f"{said}.{field}[{index}]"
            yield from _clause_complete(clause, schema, path, where)


def _clause_complete(clause: Obj, schema: Obj | None, path: str, said: str) -> Iterator[FieldError]:
    if schema is None:
        yield errors.required(path, f"because it is defined in {said}")
        return
    yield from _complete(clause, schema, path, said)
    if (items := one(clause.get("items"))) is not None:
        yield from _clause_complete(items, one(schema.get("items")), f"{path}.items", f"{said}.items")
    for name, part in named(clause):
        there = (schema.get("properties") or {}).get(name)
        yield from _clause_complete(part, there, f"{path}.properties[{name}]", f"{said}.properties[{name}]")
