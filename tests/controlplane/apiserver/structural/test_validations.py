"""The expressions of schemas, held against objects."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from apimachinery.cel.evaluation.budget import Unfinished
from apimachinery.objects import Obj
from controlplane.apiserver.structural import expressions, validations
from controlplane.apiserver.structural.custom import CustomSchema
from controlplane.apiserver.structural.declared import DeclaredTypes

INT, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
WHOLE = {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "a"}}
FAILED = "spec.a: Invalid value: failed rule: "


def ruled(schema: Obj, *rules: str | Obj) -> Obj:
    return {**schema, "x-kubernetes-validations": [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]}


def struct(**fields: Obj) -> Obj:
    return {"type": "object", "properties": fields}


def told(schema: Obj, new: Any, *old: Any, **more: Any) -> list[str]:
    made = CustomSchema(struct(spec=struct(a=schema)))
    before = {**WHOLE, "spec": {"a": old[0]}} if old else None
    return [str(error) for error in made.check({**WHOLE, "spec": {"a": new}}, before, **more)]


# Each was asked of upstream v1.36.2.
@pytest.mark.parametrize(
    ("schema", "value", "wanted"),
    [
        (ruled(INT, "self > 3"), 5, []),
        (ruled(INT, "self > 3"), 1, ["spec.a: Invalid value: 1: failed rule: self > 3"]),
        (ruled(TEXT, {"rule": "self.startsWith('a')", "message": " no a "}), "b", ['spec.a: Invalid value: "b": no a']),
        (ruled(struct(x=INT), {"rule": "has(self.x)", "reason": "FieldValueRequired", "fieldPath": ".x"}), {},
         ["spec.a.x: Required value: failed rule: has(self.x)"]),
        (ruled(struct(x=INT), {"rule": "!has(self.x)", "reason": "FieldValueDuplicate"}), {"x": 1},
         ["spec.a: Duplicate value"]),
        (ruled(INT, {"rule": "self < 1", "reason": "FieldValueDuplicate"}), 3, ["spec.a: Duplicate value: 3"]),
        (ruled(struct(x=INT), {"rule": "self.x < 1", "message": "m", "reason": "FieldValueForbidden"}), {"x": 3},
         ["spec.a: Forbidden: m"]),
        (ruled(struct(x=INT), "self.x == 1"), {},
         ['spec.a: Invalid value: "object": no such key: x evaluating rule: self.x == 1']),
        (ruled(INT, {"rule": "self == 1", "messageExpression": "'is ' + string(self)"}), 2,
         ["spec.a: Invalid value: 2: is 2"]),
        # What tells nothing, or has no value, leaves it to the message.
        (ruled(INT, {"rule": "self == 1", "messageExpression": "' '", "message": "m"}), 2,
         ["spec.a: Invalid value: 2: m"]),
        (ruled(INT, {"rule": "self == 1", "messageExpression": "string(1 / (self - 2))"}), 2,
         ["spec.a: Invalid value: 2: failed rule: self == 1"]),
        ({"type": "array", "items": ruled(INT, "self < 3")}, [1, 4],
         ["spec.a[1]: Invalid value: 4: failed rule: self < 3"]),
        ({"type": "object", "additionalProperties": ruled(INT, "self < 3")}, {"x": 1, "y.z": 5},
         ["spec.a[y.z]: Invalid value: 5: failed rule: self < 3"]),
        (ruled({"type": "object", "additionalProperties": INT}, "self.all(k, self[k] < 3)", "'x' in self"), {"y": 1},
         [f"{FAILED}'x' in self"]),
        (ruled({"x-kubernetes-int-or-string": True}, "self < 5"), "5%",
         ["spec.a: Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, "
          "function or macro signature for rule: self < 5"]),
        (ruled({**TEXT, "format": "date-time"}, "self > timestamp('2020-01-01T00:00:00Z')"),
         "2019-01-01T00:00:00+01:00",
         ['spec.a: Invalid value: "2019-01-01T00:00:00+01:00": failed rule: '
          "self > timestamp('2020-01-01T00:00:00Z')"]),
        # The format takes small letters, which the language does not.
        (ruled({**TEXT, "format": "date-time"}, "self > timestamp(0)"), "2021-01-01t00:00:00z",
         ['spec.a: Invalid value: "string": Invalid date-time formatted string 2021-01-01t00:00:00z: parsing time '
          '"2021-01-01t00:00:00z" as "2006-01-02T15:04:05": cannot parse "t00:00:00z" as "T" evaluating rule: '
          "self > timestamp(0)"]),
        (ruled({**TEXT, "format": "date"}, "self.getFullYear() == 2021"), "2021-01-01", []),
        (ruled({**TEXT, "format": "duration"}, "self == duration('1h')"), "1 hour", []),
        (ruled({**TEXT, "format": "byte"}, "size(self) == 3"), "YWJj", []),
        (ruled(NUMBER, "self > 1.5"), 2, []),
        (ruled({**TEXT, "nullable": True}, "self == 'a'"), None, []),
        # Names that the language has for itself, or cannot write.
        (ruled(struct(**{"namespace": TEXT, "if": INT, "a-b": INT, "x.y/z": INT}), "self.namespace == 'x'",
               "self.__if__ == 1 && self.a__dash__b == 1 && self.x__dot__y__slash__z == 1"),
         {"namespace": "x", "if": 1, "a-b": 1, "x.y/z": 1}, []),
        (ruled(struct(m={"type": "object", "additionalProperties": INT}),
               {"rule": "self.m.size() == 0", "fieldPath": ".m['a b']"}), {"m": {"a": 1}},
         ["spec.a.m[a b]: Invalid value: failed rule: self.m.size() == 0"]),
        (ruled(struct(o=struct(p=TEXT)), "self.?o.?p.orValue('q') == 'x'"), {},
         [f"{FAILED}self.?o.?p.orValue('q') == 'x'"]),
        ({"x-kubernetes-embedded-resource": True, "type": "object", "x-kubernetes-preserve-unknown-fields": True,
          **ruled({}, "self.metadata.name == 'a'")},
         {"apiVersion": "v1", "kind": "P", "metadata": {"name": "b"}}, [f"{FAILED}self.metadata.name == 'a'"]),
        (ruled({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, "(self + ['a']).size() == 2"),
         ["a", "b"], []),
        # Nobody knows what expressions would say of what is not of its type.
        (struct(x=ruled(INT, "self > 3"), y={**TEXT, "maxLength": 1}), {"x": 1, "y": "abc"},
         ["spec.a.y: Too long: may not be more than 1 byte",
          "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct "
          "the existing errors to complete validation"]),
    ],
)  # fmt: skip
def test_expressions_judge_values(schema: Obj, value: Any, wanted: list[str]) -> None:
    assert told(schema, value) == wanted


@pytest.mark.parametrize(
    ("schema", "old", "new", "good"),
    [
        (ruled(INT, "self == oldSelf"), 5, 5, True),
        (ruled(INT, "self == oldSelf"), 5, 6, False),
        (ruled(struct(x=INT), "self == oldSelf"), {"x": 1}, {"x": 2}, False),
        # What cannot be named counts, too.
        (ruled({**struct(x=INT), "x-kubernetes-preserve-unknown-fields": True}, "self == oldSelf"),
         {"x": 1, "z": 1}, {"x": 1, "z": 2}, False),
        (ruled({**struct(x=INT), "x-kubernetes-preserve-unknown-fields": True}, "self == oldSelf"),
         {"x": 1, "z": 1}, {"x": 1, "z": 1}, True),
        (ruled({"type": "array", "items": TEXT}, "self == oldSelf"), ["a", "b"], ["b", "a"], False),
        (ruled({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, "self == oldSelf"),
         ["a", "b"], ["b", "a"], True),
        ({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
          "items": struct(k=TEXT, v=ruled(INT, "self >= oldSelf"))},
         [{"k": "a", "v": 1}], [{"k": "b", "v": 0}, {"k": "a", "v": 0}], False),
        (ruled(INT, {"rule": "oldSelf.orValue(0) <= self", "optionalOldSelf": True}), 5, 4, False),
    ],
)  # fmt: skip
def test_expressions_compare_with_what_was(schema: Obj, old: Any, new: Any, good: bool) -> None:
    assert (told(schema, new, old) == []) == good


def test_without_anything_before_only_optional_comparisons_are_made() -> None:
    assert told(ruled(INT, "self == oldSelf"), 5) == []
    assert len(told(ruled(INT, {"rule": "oldSelf.orValue(0) <= self", "optionalOldSelf": True}), -5)) == 1


def test_a_fault_that_was_there_is_warned_of() -> None:
    warned: list[str] = []
    schema = struct(x=ruled(INT, "self > 3"), y=INT)
    assert told(schema, {"x": 1, "y": 2}, {"x": 1, "y": 1}, warn=warned.append) == []
    assert warned == ["spec.a.x: Invalid value: 1: failed rule: self > 3"]
    assert told(schema, {"x": 2}, {"x": 1}) == ["spec.a.x: Invalid value: 2: failed rule: self > 3"]


def test_the_whole_has_its_own_fields() -> None:
    schema = CustomSchema(ruled(struct(spec=TEXT), "self.metadata.name == 'b'", "self.kind == 'Boat'"))
    (error,) = schema.check({**WHOLE, "spec": "x"})
    assert str(error) == "<nil>: Invalid value: failed rule: self.metadata.name == 'b'"


def test_expressions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validations, "PER_CALL", 20_000)
    rule = "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"
    schema = ruled({"type": "array", "items": INT}, rule, "true")
    many = list(range(30))
    (error,) = told(schema, many)
    assert error == (
        "spec.a: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation "
        f"rules will be run due to call cost exceeds limit for rule: {rule}"
    )
    # Whoever cannot wait hears of it early.
    with pytest.raises(Unfinished):
        told(schema, many, at_once=True)
    assert told(schema, [1, 2], at_once=True) == []


def test_sets_are_joined_and_compared_without_comparing_each_with_each() -> None:
    numbers = [*range(20_000)]
    schema = {"type": "array", "items": INT, "x-kubernetes-list-type": "set"}
    assert told(ruled(schema, "self == oldSelf"), numbers[::-1], numbers) == []
    assert told(ruled(schema, "(self + oldSelf).size() == 30000"), numbers, [*range(10_000, 30_000)]) == []


def test_what_an_expression_makes_can_be_no_key() -> None:
    keyed = {"type": "array", "items": {**struct(k=TEXT), "required": ["k"]}}
    keyed |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    rule = "(self + dyn([{'k': ['x']}])).size() == 2"
    assert told(ruled(keyed, rule), [{"k": "a"}]) == []
    several = {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}
    assert told(ruled(several, "(self + dyn([['x'], ['x']])).size() == 2"), ["a"]) == []


def test_all_expressions_are_read_for_the_first_object(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Mock(side_effect=expressions.compiled)
    types = Mock(side_effect=DeclaredTypes)
    monkeypatch.setattr(expressions, "compiled", read)
    monkeypatch.setattr(validations, "DeclaredTypes", types)
    places = {f"p{number}": ruled(struct(x=INT), "has(self.x)") for number in range(9)}
    made = CustomSchema(struct(spec=struct(**places, **{"without-a-name.": ruled(struct(y=INT), "self.y > 1")})))
    with pytest.raises(Unfinished):
        made.check(WHOLE, at_once=True)
    assert made.check(WHOLE) == []
    assert read.call_count == 10
    wrong = made.check({**WHOLE, "spec": {"p3": {}, "without-a-name.": {"y": 1}}}, at_once=True)
    assert [error.field for error in wrong] == ["spec.p3", "spec.without-a-name."]
    assert read.call_count == 10
    assert types.call_count <= 2, "types are told once for a whole schema, not for each place"


def test_what_is_prepared_is_not_made_for_the_first_object(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{"rule": "self.a != 'x'", "message": "no"}]
    spec = {"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": rules}
    schema = CustomSchema({"type": "object", "properties": {"spec": spec}})
    schema.prepare()
    for module, name in ((validations, "seen"), (expressions, "compiled"), (validations, "DeclaredTypes")):
        monkeypatch.setattr(module, name, None)
    assert [error.text for error in schema.check({"spec": {"a": "x"}}, at_once=True)] == ["Invalid value: no"]
