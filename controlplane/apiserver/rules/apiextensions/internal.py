"""A schema as upstream's messages show it: by the fields of its internal type, set or not. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.structural.reading import VALIDATIONS, named, one, several, untyped

_RULE = ("rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf")
_UNSET: dict[str, Any] = {"reason": None, "optionalOldSelf": None}


def rule(given: Obj) -> Obj:
    """One of x-kubernetes-validations."""
    return {name[0].upper() + name[1:]: given.get(name) or _UNSET.get(name, "") for name in _RULE} | {
        "OptionalOldSelf": given.get("optionalOldSelf")
    }


def _as_it_is(value: Any) -> Any:
    return untyped(value)


def _each(value: Any) -> Any:
    return None if value is None else [schema(part) for part in value]


def _one(value: Any) -> Any:
    return None if value is None else schema(value)


def _either(value: Any) -> Any:
    """A schema, or whether anything is allowed."""
    inner = one(value)
    return None if value is None else {"Allows": inner is not None or bool(value), "Schema": _one(inner)}


def _items(value: Any) -> Any:
    listed = several(value)
    return None if value is None else {"Schema": _one(one(value)), "JSONSchemas": _each(listed) if listed else None}


def _parts(value: Any) -> Any:
    return None if value is None else {name: schema(part) for name, part in named({"properties": value})}


def _needs(value: Any) -> Any:
    if value is None:
        return None
    return {
        name: {"Schema": _one(one(each)), "Property": several(each) or None} for name, each in sorted(value.items())
    }


def _docs(value: Any) -> Any:
    return None if value is None else {"Description": value.get("description") or "", "URL": value.get("url") or ""}


# The fields in order: name, what it is unless it is set, and how it is shown. Those without an entry are as they are.
_FIELDS: tuple[tuple[str, str, Any], ...] = (
    ("ID", "id", ""), ("Schema", "$schema", ""), ("Ref", "$ref", None), ("Description", "description", ""),
    ("Type", "type", ""), ("Nullable", "nullable", False), ("Format", "format", ""), ("Title", "title", ""),
    ("Default", "default", None), ("Maximum", "maximum", None), ("ExclusiveMaximum", "exclusiveMaximum", False),
    ("Minimum", "minimum", None), ("ExclusiveMinimum", "exclusiveMinimum", False), ("MaxLength", "maxLength", None),
    ("MinLength", "minLength", None), ("Pattern", "pattern", ""), ("MaxItems", "maxItems", None),
    ("MinItems", "minItems", None), ("UniqueItems", "uniqueItems", False), ("MultipleOf", "multipleOf", None),
    ("Enum", "enum", None), ("MaxProperties", "maxProperties", None), ("MinProperties", "minProperties", None),
    ("Required", "required", None), ("Items", "items", None), ("AllOf", "allOf", None), ("OneOf", "oneOf", None),
    ("AnyOf", "anyOf", None), ("Not", "not", None), ("Properties", "properties", None),
    ("AdditionalProperties", "additionalProperties", None), ("PatternProperties", "patternProperties", None),
    ("Dependencies", "dependencies", None), ("AdditionalItems", "additionalItems", None),
    ("Definitions", "definitions", None), ("ExternalDocs", "externalDocs", None), ("Example", "example", None),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", None),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", False),
    ("XIntOrString", "x-kubernetes-int-or-string", False), ("XListMapKeys", "x-kubernetes-list-map-keys", None),
    ("XListType", "x-kubernetes-list-type", None), ("XMapType", "x-kubernetes-map-type", None),
    ("XValidations", VALIDATIONS, None),
)  # fmt: skip
_SHOWN: dict[str, Callable[[Any], Any]] = {
    "items": _items,
    "not": _one,
    "dependencies": _needs,
    "externalDocs": _docs,
    VALIDATIONS: lambda value: None if value is None else [rule(each) for each in value],
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _each),
    **dict.fromkeys(("properties", "patternProperties", "definitions"), _parts),
    **dict.fromkeys(("additionalProperties", "additionalItems"), _either),
}


def schema(given: Obj) -> Obj:
    """A JSONSchemaProps."""
    return {title: _SHOWN.get(name, _as_it_is)(given.get(name, unset)) for title, name, unset in _FIELDS}
