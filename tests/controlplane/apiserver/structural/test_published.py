"""How types of custom resources are published, and who owns which of their fields."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.apply import apply
from apimachinery.kinds import define
from apimachinery.objects import Obj
from apimachinery.schema import Node, Schema
from controlplane.apiserver.openapi.schemas import Types
from controlplane.apiserver.structural import published

BOAT = define("example.com", "v1", "Boat", "boats")
TEXT, KEEPS = {"type": "string"}, {"x-kubernetes-preserve-unknown-fields": True}
EMBEDS = {"type": "object", "x-kubernetes-embedded-resource": True}
EITHER = [{"type": "integer"}, {"type": "string"}]


def whole(**fields: Obj) -> Obj:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}


def shown(field: Obj, v2: bool = False) -> Any:
    types = Types(published.definitions(BOAT, whole(a=field)))
    made = types.convert_v2("com.example.v1.Boat") if v2 else types.convert_v3("com.example.v1.Boat")
    return made["properties"]["spec"]["properties"]["a"]


# Each was asked of upstream v1.36.2.
@pytest.mark.parametrize(
    ("field", "v3", "v2"),
    [
        ({**TEXT, "default": "x", "pattern": "x"}, {**TEXT, "default": "x", "pattern": "x"}, {**TEXT, "pattern": "x"}),
        ({**TEXT, "nullable": True}, {**TEXT, "nullable": True}, {}),
        ({"type": "object", "properties": {"b": TEXT}, **KEEPS}, {"type": "object", "properties": {"b": TEXT}, **KEEPS},
         KEEPS),
        ({"type": "array", "items": TEXT, **KEEPS}, {"type": "array", "items": TEXT, **KEEPS}, KEEPS),
        ({"x-kubernetes-int-or-string": True}, {"x-kubernetes-int-or-string": True, "anyOf": EITHER},
         {"x-kubernetes-int-or-string": True}),
        (
            {"x-kubernetes-int-or-string": True, "anyOf": [{"pattern": "y"}], "allOf": [{"pattern": "x"}]},
            {"x-kubernetes-int-or-string": True, "anyOf": [{"pattern": "y"}],
             "allOf": [{"anyOf": EITHER}, {"pattern": "x"}]},
            {"x-kubernetes-int-or-string": True},
        ),
        ({**TEXT, "not": {"enum": ["x"]}}, {**TEXT, "not": {"enum": ["x"]}}, TEXT),
        (
            {"type": "object", "required": ["b", "c"], "properties": {"b": TEXT, "c": {**TEXT, "nullable": True}}},
            {"type": "object", "required": ["b", "c"], "properties": {"b": TEXT, "c": {**TEXT, "nullable": True}}},
            {"type": "object", "required": ["b"], "properties": {"b": TEXT, "c": {}}},
        ),
        ({"type": "object", "additionalProperties": True}, {"type": "object", "additionalProperties": True},
         {"type": "object", "additionalProperties": True}),
        ({**EMBEDS, **KEEPS}, ..., {"x-kubernetes-embedded-resource": True, **KEEPS}),
        (
            {**TEXT, "x-kubernetes-validations": [{"rule": "true", "message": "", "reason": None}]},
            {**TEXT, "x-kubernetes-validations": [{"rule": "true"}]},
            {**TEXT, "x-kubernetes-validations": [{"rule": "true"}]},
        ),
    ],
)  # fmt: skip
def test_a_field_is_shown_as_each_document_can(field: Obj, v3: Any, v2: Obj) -> None:
    assert v3 is ... or shown(field) == v3
    assert shown(field, v2=True) == v2


@pytest.mark.parametrize("v2", [False, True])
def test_an_object_has_its_own_fields_wherever_it_lies(v2: bool) -> None:
    found = shown({**EMBEDS, "properties": {"spec": {"type": "object"}}}, v2)
    assert sorted(found["properties"]) == ["apiVersion", "kind", "metadata", "spec"]
    assert found["required"] == ["kind", "apiVersion"]
    name = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    pointed = {"$ref": f"#/definitions/{name}"} if v2 else {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}
    assert pointed.items() <= found["properties"]["metadata"].items()


def test_a_kind_and_its_lists_are_types() -> None:
    made = published.definitions(BOAT, whole(a=TEXT), [".spec.a"])
    assert list(made) == ["com.example.v1.Boat", "com.example.v1.BoatList"]
    boat, boats = made.values()
    assert boat["x-kubernetes-group-version-kind"] == [{"group": "example.com", "kind": "Boat", "version": "v1"}]
    assert boats["x-kubernetes-selectable-fields"] == [{"fieldPath": "spec.a"}]
    assert boats["properties"]["items"]["items"] == {"$ref": "#/$defs/com.example.v1.Boat"}
    # kubectl would refuse what it does not know of a type that has any fields.
    for bare in (published.definitions(BOAT, None), published.definitions(BOAT, {"type": "object", **KEEPS})):
        plain = bare["com.example.v1.Boat"].v2
        assert plain.keys() == {"type", "x-kubernetes-group-version-kind"}


def node_of(schema: Obj) -> Node:
    known = Schema.load().extended()
    known.add(published.definitions(BOAT, schema))
    found = known.node("example.com/v1", "Boat")
    assert found is not None
    return found


def owned(schema: Obj, spec: Any) -> Any:
    obj = {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "a"}, "spec": spec}
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    made = apply(None, obj, manager="m", node=node_of(schema), now=now)
    return made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]


def test_what_no_schema_describes_is_owned_member_by_member() -> None:
    """Each was asked of upstream v1.36.2."""
    deep = {"type": "object", "properties": {"y": TEXT}}
    schema = whole(
        a={"type": "object", **KEEPS, "properties": {"x": TEXT, "deep": deep}},
        b=KEEPS,
        c={"type": "object"},
        d={"type": "object", "additionalProperties": True},
        e={"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"x": TEXT}},
    )
    given = {"x": "1", "z": {"a": {"b": 1}, "l": [{"a": 1}]}, "deep": {"zz": 1}}
    assert owned(schema, {"a": given})["f:a"] == {
        "f:x": {},
        "f:z": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:l": {}},
        "f:deep": {"f:zz": {}},
    }
    assert owned(schema, {"b": {"x": {}}, "c": {"x": 1}, "d": {"x": {"y": 1}}, "e": {"x": "1"}}) == {
        "f:b": {"f:x": {}},
        "f:c": {"f:x": {}},
        "f:d": {"f:x": {".": {}, "f:y": {}}},
        "f:e": {},
    }
    assert owned(schema, {"b": [1, {"x": 2}]}) == {"f:b": {}}
    with pytest.raises(errors.ApiError, match="expected map, got"):
        owned(schema, {"c": 5})


def test_a_key_that_is_left_out_is_its_default() -> None:
    item = {"type": "object", "properties": {"n": {"type": "integer"}, "p": {**TEXT, "default": "UDP"}}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n", "p"]}
    schema = whole(a={"type": "array", "items": item, **keyed}, b={"type": "array", "items": TEXT})
    assert owned(schema, {"a": [{"n": 1}, {"n": 1, "p": "TCP"}], "b": ["x"]}) == {
        "f:a": {
            'k:{"n":1,"p":"UDP"}': {".": {}, "f:n": {}},
            'k:{"n":1,"p":"TCP"}': {".": {}, "f:n": {}, "f:p": {}},
        },
        "f:b": {},
    }
