"""What is refused of expressions and defaults in schemas of definitions."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import copy
from tests.controlplane.apiserver.rules.cases import Obj, put, told
from tests.controlplane.apiserver.rules.test_apiextensions import A, field, with_schema

INT, TEXT = {"type": "integer"}, {"type": "string"}
KEEPS = {"x-kubernetes-preserve-unknown-fields": True}
EMBEDS = {"type": "object", "x-kubernetes-embedded-resource": True}
WHERE = f"{A}.x-kubernetes-validations"
HINT = (
    " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def ruled(schema: Obj, *rules: str | Obj) -> Obj:
    return {**schema, "x-kubernetes-validations": [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]}


def listed(items: Obj, **more: Any) -> Obj:
    return {"type": "array", "items": items, **more}


def held(values: Obj, **more: Any) -> Obj:
    return {"type": "object", "additionalProperties": values, **more}


def factors(schema: Obj) -> list[str]:
    """How far each expression is over what it may cost."""
    start = "estimated rule cost exceeds budget by factor of "
    return [text.partition(start)[2].removesuffix(HINT) for text in told(with_schema(field(schema))) if start in text]


SHORT = {**TEXT, "maxLength": 5}


# Each was asked of upstream v1.36.2.
@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (ruled(TEXT, "self == 'x'"), []),
        (ruled(TEXT, "self.contains(self)"), ["more than 100x"]),
        (ruled(SHORT, "self.contains(self)"), []),
        (ruled(listed(TEXT), "self.all(x, self.all(y, x == y))"), ["more than 100x"]),
        (ruled(listed(SHORT, maxItems=10), "self.all(x, self.all(y, x == y))"), []),
        (ruled(listed(SHORT, maxItems=100), "self.all(x, self.all(y, self.all(z, x == y + z)))"), ["1.205050x"]),
        (ruled(held(SHORT, maxProperties=100), "self.all(k, self.exists(j, self[k] == self[j]))"), []),
        (listed(ruled({"type": "object", "properties": {"x": TEXT}}, "self.x.startsWith('abc')")), []),
        (listed(listed(ruled(INT, "self > 1"))), []),
        (listed(ruled(TEXT, "self.contains('x')")), ["more than 100x"]),
        (ruled(TEXT, "!format.dns1123Label().validate(self).hasValue()"), ["1.006634x"]),
        (ruled(listed(TEXT), "self.map(x, x.upperAscii()).join(',').size() < 100"), ["more than 100x"]),
        (ruled(listed({**TEXT, "maxLength": 10}, maxItems=5), "self.sortBy(x, x.size()) == self"), []),
    ],
)
def test_expressions_cost_no_more_than_they_may(schema: Obj, wanted: list[str]) -> None:
    assert factors(schema) == wanted


def test_all_expressions_of_a_schema_cost_no_more_than_they_may() -> None:
    many = {name: listed(ruled(TEXT, "self.contains('a')")) for name in "abcde"}
    found = told(with_schema({"type": "object", "properties": many}))
    assert len(found) == 5 + 4 + 1
    assert found[5].endswith(
        "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    )
    what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of "
    assert found[-1] == f"spec.validation.openAPIV3Schema: Forbidden: {what}more than 100x{HINT}"


def test_a_schema_that_is_as_it_was_may_cost_what_it_did() -> None:
    old = with_schema(field(ruled(TEXT, "!format.dns1123Label().validate(self).hasValue()")))
    assert len(told(old)) == 1 and told(copy(old), old) == []
    other = put(old, {"spec.versions.0.schema.openAPIV3Schema.description": "other"})
    assert len(told(other, old)) == 1


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (ruled(TEXT, "self"), ["[0].rule: Invalid value: {rule}: cel expression must evaluate to a bool"]),
        (ruled(TEXT, "self + 1 > 2"), ["[0].rule: Invalid value: {rule}: compilation failed: ERROR: <input>:1:6: found "
                                       "no matching overload for '_+_' applied to '(string, int)'\n | self + 1 > 2\n | "
                                       ".....^"]),
        (ruled({"type": "object", "properties": {"b": TEXT}}, "self.c == 1"),
         ["[0].rule: Invalid value: {rule}: compilation failed: ERROR: <input>:1:5: undefined field 'c'\n | self.c == "
          "1\n | ....^"]),
        (ruled(INT, {"rule": "true", "messageExpression": "1"}),
         ["[0].messageExpression: Invalid value: {rule}: messageExpression must evaluate to a string"]),
        (ruled(INT, {"rule": "self > 1", "optionalOldSelf": False}),
         ["[0].optionalOldSelf: Invalid value: false: may not be set if oldSelf is not used in rule"]),
        (ruled(KEEPS, "true"),
         [": Internal error: internal error: failed to construct type information for x-kubernetes-validations rules: "
          "unable to convert structural schema to CEL declarations"]),
        # Of what is not right in itself nothing more is told.
        (ruled({**INT, "uniqueItems": True}, "self =="),
         [".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"]),
    ],
)  # fmt: skip
def test_expressions_fit_their_schema(schema: Obj, wanted: list[str]) -> None:
    found = told(with_schema(field(schema)))
    given = schema["x-kubernetes-validations"][0]
    shown = (
        f'{{"Rule":"{given["rule"]}","Message":"","MessageExpression":"{given.get("messageExpression", "")}",'
        '"Reason":null,"FieldPath":"","OptionalOldSelf":null}'
    ).replace(">", "\\u003e")
    start = A if "uniqueItems" in schema else WHERE
    assert found == [start + text.replace("{rule}", shown) for text in wanted]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, f"within {A}"),
        ({"x-kubernetes-list-type": "set"}, f"within {A}"),
        ({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}, ""),
    ],
)
def test_items_that_are_not_found_again_are_not_compared(more: Obj, wanted: str) -> None:
    items: Obj = {"type": "object", "required": ["k"], "properties": {"k": TEXT}, "x-kubernetes-map-type": "atomic"}
    found = told(with_schema(field(listed(ruled(items, "self == oldSelf"), **more))))
    assert bool(found) == bool(wanted)
    if wanted:
        assert found[0].endswith(f"oldSelf cannot be used on the uncorrelatable portion of the schema {wanted}")


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({**ruled(INT, "self > 3"), "default": 1}, [".default: Invalid value: 1: failed rule: self > 3"]),
        ({**ruled(INT, "self == oldSelf"), "default": 1}, []),
        ({**ruled(INT, {"rule": "oldSelf.hasValue()", "optionalOldSelf": True}), "default": 1},
         [".default: Invalid value: 1: failed rule: oldSelf.hasValue()"]),
        ({"type": "object", "default": {"x": 1}, "properties": {"x": ruled(INT, "self > 3")}},
         [".default.x: Invalid value: 1: failed rule: self > 3"]),
        ({**EMBEDS, **KEEPS, "default": {}},
         [".default.apiVersion: Required value", ".default.kind: Required value"]),
        ({**EMBEDS, **KEEPS, "default": {"apiVersion": 1, "kind": "Pod"}},
         [".default.apiVersion: Invalid value: 1: must be a string"]),
        ({**EMBEDS, **KEEPS, "default": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}}},
         [".default.metadata.name: Invalid value: \"a/b\": may not contain '/'"]),
        ({**EMBEDS, "properties": {"kind": {**TEXT, "default": "x y"}}}, [".properties[kind].default: Invalid value: "
         '"x y": must result in valid metadata: kind: Invalid value: "x y": may have mixed case, but should']),
        ({**TEXT, "default": "x", "format": "date"},
         ['.default: Invalid value: "x":  in body must be of type date: "x"']),
    ],
)  # fmt: skip
def test_defaults_are_what_their_schema_lets_in(schema: Obj, wanted: list[str]) -> None:
    found = told(with_schema(field(schema)))
    assert len(found) == len(wanted), found
    for text, start in zip(found, wanted, strict=True):
        assert text.startswith(A + start)


def test_what_expressions_see_is_made_once_for_a_schema() -> None:
    # For each expression anew it would take minutes.
    schema: Obj = {"type": "object", "properties": {f"p{place}": TEXT for place in range(2000)}}
    for _ in range(60):
        schema = ruled({"type": "object", "properties": {"a": schema}}, "has(self.a)")
    assert told(with_schema(field(schema))) == []


def test_what_is_wrong_with_a_definition_is_told_as_far_as_it_can_be() -> None:
    keys = [str(place) for place in range(12_000)]
    schema = listed({"type": "object"}, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys})
    wrong = told(with_schema(field(schema)))
    assert wrong and sum(map(len, wrong)) < 6_000_000
