"""What a schema makes of an object before it is checked."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import Obj
from controlplane.apiserver.structural.custom import CustomSchema, Malformed

KEEPS = {"x-kubernetes-preserve-unknown-fields": True}
EMBEDS = {"type": "object", "x-kubernetes-embedded-resource": True}
TEXT = {"type": "string"}


def whole(spec: Obj, **more: Any) -> Obj:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Boat",
        "metadata": {"name": "a", "creationTimestamp": None},
        "spec": spec,
        **more,
    }


def schema_of(**fields: Obj) -> CustomSchema:
    return CustomSchema({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}})


@pytest.mark.parametrize(
    ("schema", "given", "left", "unknown"),
    [
        ({"a": TEXT}, {"a": "x", "b": 1}, {"a": "x"}, ("spec.b",)),
        # What is no map, where a map is described, is judged later.
        ({"a": {"type": "object"}}, {"a": "x"}, {"a": "x"}, ()),
        ({"a": {"type": "object"}}, {"a": {"b": {"c": 1}}}, {"a": {}}, ("spec.a.b",)),
        ({"a": {"type": "object", **KEEPS}}, {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1}}}, ()),
        # What is described inside what keeps all is pruned again.
        (
            {"a": {"type": "object", **KEEPS, "properties": {"b": {"type": "object"}}}},
            {"a": {"b": {"c": 1}, "d": {"c": 1}}},
            {"a": {"b": {}, "d": {"c": 1}}},
            ("spec.a.b.c",),
        ),
        (
            {"a": {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": TEXT}}}},
            {"a": {"x": {"b": "1", "c": 2}, "y": {"c": 2}}},
            {"a": {"x": {"b": "1"}, "y": {}}},
            ("spec.a.x.c", "spec.a.y.c"),
        ),
        (
            {"a": {"type": "array", "items": {"type": "object", "properties": {"b": TEXT}}}},
            {"a": [{"b": "1", "c": 2}, {"c": 2}]},
            {"a": [{"b": "1"}, {}]},
            ("spec.a[0].c", "spec.a[1].c"),
        ),
        # `additionalProperties: true` lets keys in, with nothing inside.
        ({"a": {"type": "object", "additionalProperties": True}}, {"a": {"x": {"y": 1}, "z": 1}},
         {"a": {"x": {}, "z": 1}}, ("spec.a.x.y",)),
        ({"a": TEXT}, {"a": [[{"b": 1}]]}, {"a": [[{}]]}, ("spec.a[0][0].b",)),
        ({"a": {"type": "array", "items": {"type": "object"}, **KEEPS}}, {"a": [{"b": 1}]}, {"a": [{"b": 1}]}, ()),
        # The type and metadata of an embedded object stay.
        (
            {"a": EMBEDS},
            {"a": {"apiVersion": "v1", "kind": "P", "metadata": {"labels": {"a": "b"}, "odd": 1}, "spec": {}}},
            {"a": {"apiVersion": "v1", "kind": "P", "metadata": {"labels": {"a": "b"}}}},
            ("spec.a.spec", "spec.a.metadata.odd"),
        ),
        # Nulls that cannot be are absent; those with a default wait for it.
        ({"a": TEXT, "b": {**TEXT, "nullable": True}, "c": {**TEXT, "default": "d"}}, {"a": None, "b": None, "c": None},
         {"b": None, "c": None}, ()),
        ({"a": {"type": "object", "additionalProperties": TEXT}}, {"a": {"x": None, "y": "z"}}, {"a": {"y": "z"}}, ()),
    ],
)  # fmt: skip
def test_what_is_not_described_goes(schema: Obj, given: Obj, left: Obj, unknown: tuple[str, ...]) -> None:
    obj = whole(given)
    assert schema_of(**schema).accept(obj) == unknown
    assert obj["spec"] == left and obj["metadata"] == {"name": "a"}


def test_a_root_keeps_its_own_fields_and_tells_of_others() -> None:
    obj = whole({"a": 1}, data=1)
    obj["metadata"] |= {"odd": 1, "labels": {}}
    schema = CustomSchema({"type": "object", "properties": {"spec": {"type": "object"}}})
    assert schema.accept(obj) == ("metadata.odd", "data", "spec.a")
    assert obj == {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "a"}, "spec": {}}
    kept = whole({"a": 1}, data=1)
    assert CustomSchema({"type": "object"}, preserves=True).accept(kept) == () and kept["data"] == 1
    assert CustomSchema({"type": "object", **KEEPS}).accept(kept) == () and kept["data"] == 1
    assert CustomSchema(None).accept(kept) == ("data", "spec")


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"name": 1}, "json: cannot unmarshal number into Go struct field ObjectMeta.name of type string"),
        ([], "json: cannot unmarshal array into Go value of type v1.ObjectMeta"),
    ],
)
def test_metadata_of_a_wrong_type_is_refused(metadata: Any, text: str) -> None:
    obj = {**whole({}), "metadata": metadata}
    with pytest.raises(Malformed) as refused:
        schema_of().accept(obj)
    assert str(refused.value) == text
    inside = whole({"a": {"metadata": metadata}})
    with pytest.raises(Malformed) as refused:
        schema_of(a=EMBEDS).accept(inside)
    assert str(refused.value).startswith("spec.a.metadata: Invalid value: ") and str(refused.value).endswith(text)


def test_what_was_stored_with_a_wrong_type_is_dropped() -> None:
    obj = whole({"a": {"kind": 1, "apiVersion": "v1", "metadata": {"labels": {"a": 1}, "name": "b"}}})
    obj["metadata"] = {"name": "a", "labels": 1, "generation": 3}
    schema_of(a=EMBEDS).accept(obj, stored=True)
    assert obj["metadata"] == {"name": "a", "generation": 3}
    assert obj["spec"] == {"a": {"apiVersion": "v1", "metadata": {"name": "b"}}}


@pytest.mark.parametrize(
    ("schema", "given", "filled"),
    [
        ({"a": {**TEXT, "default": "x"}}, {}, {"a": "x"}),
        ({"a": {**TEXT, "default": "x"}}, {"a": None}, {"a": "x"}),
        ({"a": {**TEXT, "default": "x", "nullable": True}}, {"a": None}, {"a": None}),
        ({"a": {**TEXT, "default": "x"}}, {"a": ""}, {"a": ""}),
        ({"a": {"type": "object", "properties": {"b": {**TEXT, "default": "x"}}}}, {}, {}),
        (
            {"a": {"type": "object", "default": {}, "properties": {"b": {**TEXT, "default": "x"}}}},
            {},
            {"a": {"b": "x"}},
        ),
        (
            {"a": {"type": "array", "items": {"type": "object", "properties": {"b": {**TEXT, "default": "x"}}}}},
            {"a": [{}, {"b": "y"}]},
            {"a": [{"b": "x"}, {"b": "y"}]},
        ),
        (
            {"a": {"type": "object", "additionalProperties": {**TEXT, "default": "x"}}},
            {"a": {"b": None, "c": "d"}},
            {"a": {"b": "x", "c": "d"}},
        ),
        ({"a": {"type": "array", "items": {**TEXT, "default": "x"}}}, {"a": [None]}, {"a": ["x"]}),
    ],
)
def test_what_is_absent_is_filled_in(schema: Obj, given: Obj, filled: Obj) -> None:
    obj = whole(given)
    assert schema_of(**schema).fill(obj, 100)
    assert obj["spec"] == filled


def test_a_default_is_nobodys() -> None:
    schema = schema_of(a={"type": "array", "items": TEXT, "default": ["x"]})
    first, second = whole({}), whole({})
    schema.fill(first, 100)
    first["spec"]["a"].append("y")
    schema.fill(second, 100)
    assert second["spec"] == {"a": ["x"]}


def test_what_is_unknown_is_told_as_far_as_it_can_be() -> None:
    many = whole({"a": {"x" * 100_000: [{"b": 1} for _ in range(1000)]}})
    told = schema_of(a={"type": "object", "additionalProperties": {"type": "array", "items": {"type": "object"}}})
    assert sum(map(len, told.accept(many))) < 5_000_000
    assert many["spec"]["a"]["x" * 100_000] == [{}] * 1000


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": TEXT}, [1] * 30_000),
        ({"type": "array", "items": {**TEXT, "enum": ["x" * 100_000]}}, ["y"] * 1000),
        ({"type": "array", "items": {"anyOf": [TEXT], **KEEPS}}, [1] * 30_000),
        ({"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}, [*map(str, range(20_000))] * 2),
        ({"type": "array", "items": {**TEXT, "x-kubernetes-validations": [{"rule": "self == 'a'"}]}}, ["b"] * 30_000),
    ],
)
def test_what_is_wrong_is_told_as_far_as_it_can_be(schema: Obj, value: Any) -> None:
    wrong = schema_of(a=schema).check(whole({"a": value}))
    assert 0 < len(wrong) <= 10_001
    assert sum(len(str(error)) for error in wrong) < 6_000_000


def test_what_is_right_is_not_counted_as_wrong() -> None:
    either = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, TEXT]}
    schema = schema_of(a={"type": "array", "items": either}, b=TEXT)
    (wrong,) = schema.check(whole({"a": ["x"] * 11_000, "b": 1}))
    assert wrong.field == "spec.b"


def test_enumerations_are_looked_up() -> None:
    # One after the other it would take some minutes.
    schema = schema_of(a={"type": "array", "items": {"enum": [*range(20_000)], **KEEPS}})
    assert schema.check(whole({"a": [*range(20_000)] * 2})) == []
    (wrong,) = schema.check(whole({"a": [*range(20_000), -1]}))
    assert wrong.field == "spec.a[20000]"


ITEM: Obj = {"type": "object", "properties": {"b": {**TEXT, "default": "x" * 98}}}
ITEMS: Obj = {"type": "array", "items": ITEM}


def test_defaults_of_many_items_end() -> None:
    obj = whole({"a": [{} for _ in range(10)]})
    assert not schema_of(a=ITEMS).fill(obj, 550)
    assert [len(item) for item in obj["spec"]["a"]] == [1] * 5 + [0] * 5
    named = whole({"a": {str(index): None for index in range(10)}})
    assert not schema_of(a={"type": "object", "additionalProperties": {**ITEM, "default": {}}}).fill(named, 110)
    assert schema_of(a=ITEMS).fill(obj, 600)


@pytest.mark.parametrize(
    ("schema", "weight"),
    [
        ({"a": {**TEXT, "default": "x" * 9000}}, 1),
        ({"a": ITEMS}, 101 // 3 // 8),
        ({"a": {"type": "object", "additionalProperties": ITEM}}, 101 // 3 // 8),
        ({"a": {"type": "array", "items": {**TEXT, "default": "x" * 198}}}, 200 // 5 // 8),
        ({"a": {"type": "array", "items": {**TEXT, "anyOf": [{"maxLength": one} for one in range(99)]}}}, 100 // 4),
        ({"a": {"type": "array", "items": {"enum": [{"a": one} for one in range(99)]}}}, 100 // 4),
    ],
)
def test_what_a_byte_of_it_is_worth(schema: Obj, weight: int) -> None:
    assert schema_of(**schema).weight == weight
