"""The type of a custom resource as the OpenAPI documents have it. Pure.

Source: what upstream v1.36.2 publishes of definitions; the descriptions are those of its documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.structural.reading import (
    EMBEDDED,
    INT_OR_STRING,
    PRESERVES,
    VALIDATIONS,
    clauses,
    one,
)

_REF = "#/$defs/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_IDENTITY, _SELECTABLE = "x-kubernetes-group-version-kind", "x-kubernetes-selectable-fields"
_MORE = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_EITHER = [{"type": "integer"}, {"type": "string"}]
_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
# What a rule says, beside what it says by not being there.
_RULE = ("rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf")


class Definition(dict[str, Any]):
    """A type in the form of OpenAPI v3; what it refers to is named as in the shipped definitions.

    v2: the same in the form of Swagger 2.0, without what clients of that cannot read.
    """

    def __init__(self, v3: Obj, v2: Obj) -> None:
        super().__init__(v3)
        self.v2 = v2


def definitions(
    kind: Kind, schema: Obj | None, selectable: Iterable[str] = (), preserves: bool = False
) -> dict[str, Definition]:
    """The types of a kind and of its lists, by their names.

    selectable: the paths that lists may be selected by, as the definition has them (".spec.a"). preserves: the
    definition keeps unknown fields altogether.
    """
    name = ".".join((*reversed(kind.group.split(".")), kind.version, kind.kind))
    fields = {_SELECTABLE: [{"fieldPath": path.removeprefix(".")} for path in selectable]} if selectable else {}
    own = {_IDENTITY: [_identity(kind, kind.kind)], **fields}
    v3: Obj = {"type": "object"} if schema is None else _whole(_unfolded(schema))
    plain = schema is None or preserves or bool(schema.get(PRESERVES))
    v2: Obj = {"type": "object"} if plain or schema is None else _whole(_as_v2(schema), v2=True)
    listed = {**_list(kind, name), **fields}
    return {
        name: Definition({**v3, **own}, {**v2, **own}),
        name.removesuffix(kind.kind) + kind.list_kind: Definition(listed, listed),
    }


def _identity(kind: Kind, name: str) -> Obj:
    return {"group": kind.group, "kind": name, "version": kind.version}


def _list(kind: Kind, name: str) -> Obj:
    items = {
        "description": f"List of {kind.plural}. {_MORE}",
        "type": "array",
        "items": {"$ref": _REF + name},
    }
    meta = {"description": f"Standard list metadata. {_MORE}#types-kinds", "$ref": f"{_REF}{_META}ListMeta"}
    return {
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_type_meta(), "items": items, "metadata": meta},
        _IDENTITY: [_identity(kind, kind.list_kind)],
    }


def _type_meta() -> Obj:
    version = (
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
        f"recognized schemas to the latest internal value, and may reject unrecognized values. {_MORE}#resources"
    )
    kind = (
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
        f"endpoint the client submits requests to. Cannot be updated. In CamelCase. {_MORE}#types-kinds"
    )
    return {
        "apiVersion": {"description": version, "type": "string"},
        "kind": {"description": kind, "type": "string"},
    }


def _metadata() -> Obj:
    return {"description": f"Standard object's metadata. {_MORE}#metadata", "$ref": f"{_REF}{_META}ObjectMeta"}


def _whole(schema: Obj, v2: bool = False) -> Obj:
    """A schema with the fields that any object has, at its root and where objects are embedded."""
    made = _embedded(schema, v2)
    return {**made, "properties": {**(made.get("properties") or {}), **_type_meta(), "metadata": _metadata()}}


def _embedded(schema: Obj, v2: bool) -> Obj:
    made = _descended(schema, lambda part: _embedded(part, v2))
    if not schema.get(EMBEDDED) or (v2 and schema.get(PRESERVES)):
        return made
    version = f"apiVersion defines the versioned schema of this representation of an object. {_MORE}#resources"
    kind = f"kind is a string value representing the type of this object. In CamelCase. {_MORE}#types-kinds"
    own = {
        "apiVersion": {"description": version, "type": "string"},
        "kind": {"description": kind, "type": "string"},
        "metadata": _metadata(),
    }
    required = list(schema.get("required") or ())
    required += [name for name in ("kind", "apiVersion") if name not in required]
    return {**made, "properties": {**(made.get("properties") or {}), **own}, "required": required}


def _descended(schema: Obj, change: Any) -> Obj:
    made = dict(schema)
    if schema.get("properties"):
        made["properties"] = {name: change(part) for name, part in schema["properties"].items()}
    for field in ("items", "additionalProperties"):
        if (part := one(schema.get(field))) is not None:
            made[field] = change(part)
    return made


def _unfolded(schema: Obj) -> Obj:
    """What is a number or a text says so, also for those who do not know the extension."""
    made = _descended(schema, _unfolded)
    if VALIDATIONS in made:
        made[VALIDATIONS] = [{key: rule[key] for key in _RULE if rule.get(key)} for rule in made[VALIDATIONS]]
    if not schema.get(INT_OR_STRING) or schema.get("anyOf") == _EITHER:
        return made
    every = clauses(schema, "allOf")
    if every and every[0].get("anyOf") == _EITHER:
        return made
    if not schema.get("anyOf"):
        return {**made, "anyOf": _EITHER}
    return {**made, "allOf": [{"anyOf": _EITHER}, *every]}


def _as_v2(schema: Obj) -> Obj:
    # Conditions and defaults are not of that form; kubectl takes nulls and unknown fields in what has no type alone.
    made = {key: value for key, value in schema.items() if key not in (*_JUNCTORS, "default")}
    if VALIDATIONS in made:
        made[VALIDATIONS] = [{key: rule[key] for key in _RULE if rule.get(key)} for rule in made[VALIDATIONS]]
    nullable, open_ended = made.pop("nullable", False), bool(schema.get(PRESERVES))
    if nullable or open_ended:
        made.pop("items", None)
        made.pop("properties", None)
    if nullable or (open_ended and made.get("type") in ("object", "array")):
        made.pop("type", None)
    properties, more = made.get("properties") or {}, one(made.get("additionalProperties"))
    required = [name for name in made.get("required") or () if not (properties.get(name) or {}).get("nullable")]
    if not required or (more is not None and more.get("nullable")):
        made.pop("required", None)
    else:
        made["required"] = required
    return _descended(made, _as_v2)
