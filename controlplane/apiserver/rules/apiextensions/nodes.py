"""What every schema inside a schema is held to, structural or not. Pure.

Source: the API reference of JSONSchemaProps, and of x-kubernetes-list-type, -map-type and -validations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.structural import fieldpaths
from controlplane.apiserver.structural.reading import (
    EMBEDDED,
    LIST_TYPE,
    MAP_KEYS,
    MAP_TYPE,
    PRESERVES,
    VALIDATIONS,
    clauses,
    everything,
    named,
    not_structural,
    one,
    several,
)

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_META = ("metadata", "kind", "apiVersion")
_BREAK = re.compile(r"[\n\r]")


@dataclass(frozen=True)
class Demands:
    """What is asked of a schema here; what was stored before a rule came is not asked for it.

    typed: types are known ones. atomic_sets: items of a set are atomic. keyed: keys of a list of the type map are
    there. no_defaults: why there can be no default, "" where there can. in_metadata: inside an object's own fields.
    root: this is the whole.
    """

    typed: bool = True
    atomic_sets: bool = True
    keyed: bool = True
    no_defaults: str = ""
    in_metadata: bool = False
    root: bool = True


def demands(before: list[Obj]) -> Demands:
    """What is asked of a change of a definition with these schemas."""
    nodes = [node for schema in before for node in everything(schema)]
    return Demands(
        typed=not any(node.get("type") and node["type"] not in TYPES for node in nodes),
        atomic_sets=not any(list(_set_items(node, "")) for node in nodes),
        keyed=not any(list(_keys(node, "")) for node in nodes),
    )


def check(schema: Obj | None, path: str, asked: Demands, unlike: set[int]) -> Iterator[FieldError]:
    """What is wrong with a schema and with all that is inside it. unlike: takes the ids of those that have a fault, or
    hold one that has.
    """
    if schema is not None:
        for error in _check(schema, path, asked, unlike):
            unlike.add(id(schema))
            yield error


def _check(schema: Obj, path: str, asked: Demands, unlike: set[int]) -> Iterator[FieldError]:
    yield from _plain(schema, path, asked)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield errors.field_forbidden(f"{path}.uniqueItems", text)
    yield from _inside(schema, path, asked, unlike)
    if schema.get(PRESERVES) is False:
        yield errors.invalid(f"{path}.{PRESERVES}", False, "must be true or undefined")
    yield from _map_type(schema, path)
    yield from _list_type(schema, path, asked)
    if asked.keyed:
        yield from _keys(schema, path)
    for index, rule in enumerate(schema.get(VALIDATIONS) or ()):
        yield from _validation(schema, rule, f"{path}.{VALIDATIONS}[{index}]")


def _plain(schema: Obj, path: str, asked: Demands) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if asked.typed and kind and kind not in TYPES:
        yield errors.not_supported(f"{path}.type", kind, TYPES)
    if schema.get("default") is not None and asked.no_defaults:
        yield errors.field_forbidden(f"{path}.default", f"must not be set {asked.no_defaults}")
    for field in _UNSUPPORTED:
        if schema.get(field) is not None:
            yield errors.field_forbidden(f"{path}.{field}", f"{field} is not supported")
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        yield errors.field_forbidden(f"{path}.type", text)
    if several(schema.get("items")):
        yield errors.field_forbidden(f"{path}.items", "items must be a schema object and not an array")
    if asked.in_metadata and schema.get(EMBEDDED):
        yield errors.field_forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")


def _inside(schema: Obj, path: str, asked: Demands, unlike: set[int]) -> Iterator[FieldError]:
    more, below = schema.get("additionalProperties"), replace(asked, root=False)
    if more is not None:
        if schema.get("properties") and more is not True:
            text = "additionalProperties and properties are mutual exclusive"
            yield errors.field_forbidden(f"{path}.additionalProperties", text)
        closed = replace(below, no_defaults="inside additionalProperties applying to object metadata")
        yield from check(one(more), f"{path}.additionalProperties", closed if asked.in_metadata else below, unlike)
    for name, part in named(schema):
        own = below
        if name in _META and (asked.root or schema.get(EMBEDDED)):
            own = replace(below, in_metadata=True)
            if asked.root:
                own = replace(own, no_defaults=f"in top-level {name}")
        yield from check(part, f"{path}.properties[{name}]", own, unlike)
    yield from check(one(schema.get("not")), f"{path}.not", below, unlike)
    for field in ("allOf", "oneOf", "anyOf"):
        for index, clause in enumerate(clauses(schema, field)):
            yield from check(clause, f"{path}.{field}[{index}]", below, unlike)
    for name, part in named(schema, "definitions"):
        yield from check(part, f"{path}.definitions[{name}]", below, unlike)
    yield from check(one(schema.get("items")), f"{path}.items", below, unlike)
    for index, item in enumerate(several(schema.get("items"))):
        yield from check(item, f"{path}.items[{index}]", below, unlike)
    for name, part in named(schema, "dependencies"):
        yield from check(one(part), f"{path}.dependencies[{name}]", below, unlike)


# --- lists and maps ---


def _typed(schema: Obj, path: str, wanted: str, field: str) -> Iterator[FieldError]:
    kind, text = schema.get("type") or "", f"must be {wanted} if {field} is specified"
    if schema.get(field) is not None and kind != wanted:
        yield errors.invalid(f"{path}.type", kind, text) if kind else errors.required(f"{path}.type", text)


def _map_type(schema: Obj, path: str) -> Iterator[FieldError]:
    yield from _typed(schema, path, "object", MAP_TYPE)
    if schema.get(MAP_TYPE) not in (None, "atomic", "granular"):
        yield errors.not_supported(f"{path}.{MAP_TYPE}", schema[MAP_TYPE], ("atomic", "granular"))


def _list_type(schema: Obj, path: str, asked: Demands) -> Iterator[FieldError]:
    kind, keys = schema.get(LIST_TYPE), schema.get(MAP_KEYS) or []
    yield from _typed(schema, path, "array", LIST_TYPE)
    if asked.atomic_sets and schema.get("type") == "array":
        yield from _set_items(schema, path)
    if kind not in (None, "atomic", "set", "map"):
        yield errors.not_supported(f"{path}.{LIST_TYPE}", kind, ("atomic", "set", "map"))
    if keys and kind != "map":
        text = f"must be map if {MAP_KEYS} is non-empty"
        where = f"{path}.{LIST_TYPE}"
        yield errors.required(where, text) if kind is None else errors.invalid(where, kind, text)
    if kind == "map":
        yield from _map_items(schema, keys, path)


def _set_items(schema: Obj, path: str) -> Iterator[FieldError]:
    """What is in a set is compared as a whole."""
    items = one(schema.get("items"))
    if schema.get(LIST_TYPE) != "set" or items is None:
        return
    kind, text = items.get(LIST_TYPE), f"must be atomic as item of a list with {LIST_TYPE}=set"
    if items.get("type") == "array" and kind not in (None, "atomic"):
        yield errors.invalid(f"{path}.items.{LIST_TYPE}", kind, text)
    if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        # Upstream shows the type as a list.
        yield errors.invalid(f"{path}.items.{MAP_TYPE}", kind, text)


def _map_items(schema: Obj, keys: list[str], path: str) -> Iterator[FieldError]:
    given, items = schema.get("items"), one(schema.get("items"))
    if not keys:
        yield errors.required(f"{path}.{MAP_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if given is None:
        yield errors.required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map")
    elif items is None:
        yield errors.invalid(f"{path}.items", given, f"must only have a single schema if {LIST_TYPE} is map")
    if items is None:
        return
    if (kind := items.get("type") or "") != "object":
        text = f"must be object if parent array's {LIST_TYPE} is map"
        yield errors.invalid(f"{path}.items.type", kind, text)
        return
    there: set[str] = set()
    for key in keys:
        part = (items.get("properties") or {}).get(key)
        if part is None:
            yield errors.invalid(f"{path}.{MAP_KEYS}", keys, "entries must all be names of item properties")
        elif part.get("type") in ("array", "object"):
            text = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            yield errors.invalid(f"{path}.items.properties[{key}].type", "object", text)
        if key in there:
            yield errors.invalid(f"{path}.{MAP_KEYS}", keys, "must not contain duplicate entries")
        there.add(key)


def _keys(schema: Obj, path: str) -> Iterator[FieldError]:
    """Items of sets and maps are never null, and a key has always a value."""
    items, kind = one(schema.get("items")), schema.get(LIST_TYPE)
    if items is None or kind not in ("set", "map"):
        return
    if items.get("nullable"):
        yield errors.field_forbidden(f"{path}.items.nullable", f"cannot be nullable when {LIST_TYPE} is {kind}")
    if kind == "set":
        return
    for key in schema.get(MAP_KEYS) or ():
        part = (items.get("properties") or {}).get(key)
        if part is None:
            continue
        where, text = f"{path}.items.properties[{key}]", f"this property is in {MAP_KEYS}, so it "
        if key not in (items.get("required") or ()) and part.get("default") is None:
            yield errors.required(f"{where}.default", f"{text}must have a default or be a required property")
        if part.get("nullable"):
            yield errors.field_forbidden(f"{where}.nullable", f"{text}cannot be nullable")


# --- expressions ---


def _validation(schema: Obj, rule: Obj, path: str) -> Iterator[FieldError]:
    expression, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not expression:
        yield errors.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield errors.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _BREAK.search(message.strip()):
        yield errors.invalid(f"{path}.message", message, "must not contain line breaks")
    elif _BREAK.search(expression) and not message.strip():
        yield errors.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if (text := rule.get("messageExpression") or "") and not text.strip():
        yield errors.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if (reason := rule.get("reason")) is not None and reason not in _REASONS:
        yield errors.not_supported(f"{path}.reason", reason, _REASONS)
    yield from _place(schema, rule.get("fieldPath") or "", f"{path}.fieldPath")


def _place(schema: Obj, place: str, path: str) -> Iterator[FieldError]:
    if place and not place.strip():
        yield errors.invalid(path, place, "must be non-empty if specified")
    if _BREAK.search(place):
        yield errors.invalid(path, place, "must not contain line breaks")
    if place and not not_structural(schema):
        try:
            fieldpaths.follow(place, schema)
        except fieldpaths.PathError:
            yield errors.invalid(path, place, "must be a valid path")
