"""The API's type definitions as OpenAPI schemas.

The source is kubernetes-validate's `_definitions.json` (JSON Schema). Against upstream's own documents it says `type:
[T, "null"]` for `type: T`, points to `#/$defs/`, adds enums to apiVersion and kind, and spells Quantity and IntOrString
as unions; all of that is undone here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from apimachinery.data import wire_fields
from apimachinery.schema import Schema as Definitions
from controlplane.apiserver.structural.published import Definition

Schema = dict[str, Any]
SOURCE_VERSION = "v1.36.0"
V3_PREFIX = "#/components/schemas/"
V2_PREFIX = "#/definitions/"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
UNIONS_V3: dict[str, Schema] = {
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
UNIONS_V2: dict[str, Schema] = {
    QUANTITY: {"type": "string"},
    INT_OR_STRING: {"format": "int-or-string", "type": "string"},
}
KEPT = ("description", "format", "required", "default")


def definitions() -> Mapping[str, Mapping[str, Any]]:
    """Every published type of the API by its full name ("io.k8s.api.core.v1.Pod"), as shipped: never change it."""
    return Definitions.load().definitions


class Types:
    """Definitions by their full names: the published ones, and others beside them."""

    def __init__(self, others: Mapping[str, Mapping[str, Any]]) -> None:
        self.definitions: Mapping[str, Mapping[str, Any]] = {**definitions(), **others} if others else definitions()
        self._names: dict[tuple[str, str, str], str] = {}
        for name, schema in self.definitions.items():
            # Some types (options, Status) belong to every group.
            identities = schema.get("x-kubernetes-group-version-kind") or []
            if len(identities) == 1:
                self._names[identities[0]["group"], identities[0]["version"], identities[0]["kind"]] = name

    def name(self, group: str, version: str, kind: str) -> str:
        """The definition of a kind; "" when there is none (the options of streams)."""
        return self._names.get((group, version, kind), "")

    def convert_v3(self, name: str) -> Schema:
        """One definition as an OpenAPI v3 schema."""
        source = self.definitions[name]
        if name in UNIONS_V3:
            return _described(source, UNIONS_V3[name])
        if isinstance(source, Definition):
            return _pointed(source, V3_PREFIX)
        shown = _convert(source, V3_PREFIX)
        _fill_in(shown, name)
        return shown

    def convert_v2(self, name: str) -> Schema:
        """One definition as a Swagger 2.0 schema."""
        source = self.definitions[name]
        if isinstance(source, Definition):
            return _pointed(source.v2, V2_PREFIX)
        return _described(source, UNIONS_V2[name]) if name in UNIONS_V2 else _convert(source, V2_PREFIX)

    def closure(self, roots: Iterable[str]) -> list[str]:
        """The roots and everything they refer to, sorted by name."""
        seen: set[str] = set()
        todo = [root for root in roots if root in self.definitions]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += [other for other in references(self.definitions[name]) if other not in seen]
        return sorted(seen)


def references(schema: Any) -> Iterator[str]:
    """Names of the definitions that a schema points to, at any depth."""
    if isinstance(schema, dict):
        if isinstance(target := schema.get("$ref"), str):
            yield target.rpartition("/")[2]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def _described(source: Mapping[str, Any], shape: Schema) -> Schema:
    return {"description": source["description"], **shape} if "description" in source else dict(shape)


def _convert(source: Mapping[str, Any], prefix: str) -> Schema:
    out: Schema = {key: source[key] for key in KEPT if key in source}
    out |= {key: value for key, value in source.items() if key.startswith("x-kubernetes-")}
    if kind := _type(source.get("type")):
        out["type"] = kind
    if "$ref" in source:
        return _refer(out, prefix + source["$ref"].rpartition("/")[2], prefix)
    if "items" in source:
        out["items"] = _convert(source["items"], prefix)
    if isinstance(source.get("additionalProperties"), dict):
        out["additionalProperties"] = _convert(source["additionalProperties"], prefix)
    if "properties" in source:
        out["properties"] = {key: _property(key, value, prefix) for key, value in source["properties"].items()}
    return out


def _pointed(source: Mapping[str, Any], prefix: str) -> Schema:
    """The type of a custom resource, which is an OpenAPI schema already but for what it refers to."""
    out = dict(source)
    if "$ref" in source:
        return _refer(out, prefix + source["$ref"].rpartition("/")[2], prefix)
    for field in ("items", "additionalProperties"):
        if isinstance(source.get(field), dict):
            out[field] = _pointed(source[field], prefix)
    if "properties" in source:
        out["properties"] = {name: _pointed(part, prefix) for name, part in source["properties"].items()}
    return out


def _property(name: str, source: Schema, prefix: str) -> Schema:
    out = _convert(source, prefix)
    # The shipped schemas pin apiVersion and kind to constants; upstream's documents do not.
    if "enum" in source and name not in ("apiVersion", "kind"):
        out["enum"] = source["enum"]
    return out


def _refer(out: Schema, target: str, prefix: str) -> Schema:
    # OpenAPI v3.0 ignores whatever stands beside a $ref; upstream wraps it in allOf to keep the description.
    out.pop("type", None)
    out.pop("$ref", None)
    if prefix == V3_PREFIX and out:
        return {**out, "allOf": [{"$ref": target}]}
    return {**out, "$ref": target}


_ZEROS = {"string": "", "integer": 0, "number": 0, "boolean": False}
# Types that are written as something else than a struct.
_SCALARS = frozenset(
    (
        "api.resource.Quantity",
        "meta.v1.MicroTime",
        "meta.v1.Time",
        "runtime.RawExtension",
        "util.intstr.IntOrString",
    )
)


def _fill_in(shown: Schema, name: str) -> None:
    """The defaults of a type's fields: what is always there, because it is no reference in the API's own type, is zero
    or an empty struct where nobody has set it."""
    message, fields = wire_fields.of_definition(name), shown.get("properties") or {}
    for field in wire_fields.message_of(message) if message else ():
        found = fields.get(field.name)
        if found is None or "default" in found or field.pointer or field.repeated or field.is_map:
            continue
        if "$ref" in found or "allOf" in found:
            if field.type not in _SCALARS:
                target = found.pop("$ref", None)
                fields[field.name] = {**({"allOf": [{"$ref": target}]} if target else found), "default": {}}
            continue
        zero = _ZEROS.get(found.get("type", ""))
        always = field.always or (field.name in shown.get("required", ()) and not field.omit_zero)
        if always and zero is not None and found.get("format") != "byte":
            found["default"] = zero


def _type(found: Any) -> str:
    if isinstance(found, list):
        return str(next((t for t in found if t != "null"), ""))
    return str(found or "")
