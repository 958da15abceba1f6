"""What is told of values that are not as their schema says, and that nothing is told of those that are."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apimachinery.objects import Obj
from controlplane.apiserver.structural import conforming, fitting, textformats
from controlplane.apiserver.structural.custom import CustomSchema

INT, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
INT32, ANY = {**INT, "format": "int32"}, {"x-kubernetes-preserve-unknown-fields": True}
EITHER = {"x-kubernetes-int-or-string": True, "anyOf": [INT, TEXT]}
PARTS = {"type": "object", "properties": {"b": TEXT, "c": INT}}
WANTS_B, WANTS_C = {"required": ["b"]}, {"required": ["c"], "properties": {"c": {"minimum": 3}}}
WHOLE = '<nil>: Invalid value: "": '
RANGE = f"{WHOLE}Checked value must be of type integer (default format) in spec.a"


def of_type(wanted: str, kind: str) -> str:
    return f'spec.a: Invalid value: "{kind}": spec.a in body must be of type {wanted}: "{kind}"'


def invalid(value: str, text: str) -> str:
    return f"spec.a: Invalid value: {value}: spec.a in body {text}"


def unlike(text: str) -> str:
    return f'{WHOLE}"spec.a" must {text}'


def told(value: Any, schema: Obj) -> list[str]:
    whole = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": schema}}}}
    found = [str(error) for error in conforming.wrong({"spec": {"a": value}}, whole, "")]
    assert fitting.compiled(whole)({"spec": {"a": value}}) == (not found)
    return found


# Each was asked of upstream v1.36.2.
CASES: list[tuple[Obj, Any, list[str]]] = [
    (INT, 1, []),
    (INT, 1.0, []),
    (INT, 2**63 - 1, []),
    (INT, 1.5, [of_type("integer", "number"), RANGE]),
    (INT, 1e20, [of_type("integer", "number"), RANGE]),
    # So close to a whole number counts as one for its type, and for nothing else.
    (INT, 1.0000000001, [RANGE]),
    (INT, True, [of_type("integer", "boolean")]),
    (INT, None, [of_type("integer", "null")]),
    (INT, [1], [of_type("integer", "array")]),
    (INT, {"b": 1}, [of_type("integer", "object")]),
    ({**INT, "nullable": True}, None, []),
    (INT32, True, ['spec.a: Invalid value: "": spec.a in body must be of type int32: ""']),
    (INT32, "x", [of_type("integer", "string")]),
    (INT32, 3_000_000_000, [RANGE.replace("(default format)", "with format int32")]),
    (NUMBER, 1, []),
    (NUMBER, 1e300, []),
    ({**NUMBER, "format": "float"}, 1e300,
     [f"{WHOLE}Checked value must be of type number with format float in spec.a"]),
    (TEXT, 1, [of_type("string", "integer")]),
    # A list passes for a text of a format.
    ({**TEXT, "format": "date"}, [1], []),
    ({**TEXT, "format": "date"}, 1, ['spec.a: Invalid value: "int64": spec.a in body must be of type date: "int64"']),
    ({**TEXT, "format": "odd"}, "x", []),
    ({"type": "array", "items": INT}, [1, "a"],
     ['spec.a[1]: Invalid value: "string": spec.a[1] in body must be of type integer: "string"']),
    (EITHER, "x", []),
    (EITHER, 1, []),
    (EITHER, True, [of_type("integer,string", "boolean"), unlike("validate at least one schema (anyOf)"),
                    of_type("integer", "boolean")]),
    # --- enumerations: null is in none, and numbers are made of the kind that is listed ---
    ({**TEXT, "enum": ["a", "b"]}, "c", ['spec.a: Unsupported value: "c": supported values: "a", "b"']),
    ({**TEXT, "enum": ["a"], "nullable": True}, None, ['spec.a: Unsupported value: null: supported values: "a"']),
    ({**ANY, "enum": [1, {"b": 1}]}, 1.5, []),
    ({**ANY, "enum": [1, {"b": 1}]}, {"b": 1}, []),
    ({**ANY, "enum": [1, {"b": 1}]}, {"c": 2, "b": 1.0},
     ['spec.a: Unsupported value: {"b":1,"c":2}: supported values: "1", "{\\"b\\":1}"']),
    # --- numbers ---
    ({**INT, "multipleOf": 3}, 4, [invalid("4", "should be a multiple of 3")]),
    ({**INT, "multipleOf": 3}, -3, []),
    ({**NUMBER, "multipleOf": 0.01}, 0.07, []),
    ({**NUMBER, "multipleOf": 0.01}, 0.075, [invalid("0.075", "should be a multiple of 0.01")]),
    ({**NUMBER, "multipleOf": 0.5}, 3,
     ["spec.a: Invalid value: 0: factor MultipleOf declared for spec.a must be positive: 0"]),
    ({**INT, "multipleOf": 1.5}, 4,
     [f"{WHOLE}MultipleOf value must be of type integer (default format) in spec.a",
      invalid("4", "should be a multiple of 1.5")]),
    ({**INT, "minimum": 2, "maximum": 5}, 1, [invalid("1", "should be greater than or equal to 2")]),
    ({**INT, "minimum": 2, "maximum": 5}, 5, []),
    ({**INT, "minimum": 2, "exclusiveMinimum": True}, 2, [invalid("2", "should be greater than 2")]),
    ({**INT, "maximum": 5, "exclusiveMaximum": True}, 5, [invalid("5", "should be less than 5")]),
    ({**NUMBER, "maximum": 5.25}, 5.3, [invalid("5.3", "should be less than or equal to 5.25")]),
    ({**NUMBER, "maximum": 5.25}, 6, [invalid("6", "should be less than or equal to 5")]),
    ({**NUMBER, "maximum": 4e9}, 5e9, [invalid("5e+09", "should be less than or equal to 4e+09")]),
    # --- texts and what holds others ---
    ({**TEXT, "minLength": 2, "maxLength": 4}, "aöüß", []),
    ({**TEXT, "minLength": 2, "maxLength": 4}, "a", [invalid('"a"', "should be at least 2 chars long")]),
    ({**TEXT, "minLength": 2, "maxLength": 4}, "abcde", ["spec.a: Too long: may not be more than 4 bytes"]),
    ({**TEXT, "pattern": "^a"}, "xa", [invalid('"xa"', "should match '^a'")]),
    ({"type": "array", "items": TEXT, "minItems": 1}, [], [invalid("0", "should have at least 1 items")]),
    ({"type": "array", "items": TEXT, "maxItems": 1}, ["a", "b"], ["spec.a: Too many: 2: must have at most 1 items"]),
    ({"type": "object", "additionalProperties": INT}, {"a.b": "q"},
     ['spec.a.a.b: Invalid value: "string": spec.a.a.b in body must be of type integer: "string"']),
    ({"type": "object", "additionalProperties": False}, {"x": 1},
     ['spec.a: Invalid value: "x": spec.a.x in body is a forbidden property']),
    ({**PARTS, "required": ["b", "c"]}, {"b": "x"}, ["spec.a.c: Required value"]),
    # --- conditions: of several that fail, the one with most checks is told ---
    ({**PARTS, "anyOf": [WANTS_B, WANTS_C]}, {"b": "x"}, []),
    ({**PARTS, "anyOf": [WANTS_B, WANTS_C]}, {},
     [unlike("validate at least one schema (anyOf)"), "spec.a.b: Required value"]),
    ({**PARTS, "anyOf": [WANTS_B, WANTS_C]}, {"c": 1},
     [unlike("validate at least one schema (anyOf)"),
      "spec.a.c: Invalid value: 1: spec.a.c in body should be greater than or equal to 3"]),
    ({**PARTS, "oneOf": [WANTS_B, WANTS_C]}, {"b": "x", "c": 5},
     [unlike("validate one and only one schema (oneOf). Found 2 valid alternatives")]),
    ({**PARTS, "oneOf": [WANTS_B, WANTS_C]}, {},
     [unlike("validate one and only one schema (oneOf). Found none valid"), "spec.a.b: Required value"]),
    ({**PARTS, "allOf": [WANTS_B, WANTS_C]}, {"b": "x"},
     ["spec.a.c: Required value", unlike("validate all the schemas (allOf)")]),
    ({**PARTS, "allOf": [WANTS_B, WANTS_C]}, {},
     ["spec.a.b: Required value", "spec.a.c: Required value",
      unlike("validate all the schemas (allOf). None validated")]),
    ({**PARTS, "not": WANTS_B}, {"b": "x"}, [unlike("not validate the schema (not)")]),
    ({**PARTS, "not": WANTS_B}, {"c": 1}, []),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "wanted"), CASES)
def test_values_are_judged_as_upstream_does(schema: Obj, value: Any, wanted: list[str]) -> None:
    assert told(value, schema) == wanted


def test_a_fault_of_what_a_patch_left_alone_is_not_told() -> None:
    """Ratcheting: parts that are as they were, and can be found again, are not judged anew."""
    item = {"type": "object", "required": ["k"], "properties": {"k": TEXT, "v": {**TEXT, "maxLength": 1}}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    fields = {
        "short": {**TEXT, "maxLength": 1},
        "plain": {"type": "array", "items": {**TEXT, "maxLength": 1}},
        "keyed": {"type": "array", "items": item, **keyed},
        "free": {"type": "object", **ANY, "maxProperties": 1},
        "joined": {**TEXT, "allOf": [{"maxLength": 1}]},
    }
    schema = CustomSchema({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}})
    old: Obj = {
        "short": "long",
        "plain": ["long"],
        "keyed": [{"k": "a", "v": "long"}, {"k": "b", "v": "long"}],
        "joined": "long",
    }

    def errors(**new: Any) -> list[str]:
        whole = {"apiVersion": "e.io/v1", "kind": "B"}
        return [str(error) for error in schema.check({**whole, "spec": {**old, **new}}, {**whole, "spec": old})]

    assert len(schema.check({"spec": old})) == 6
    assert errors() == errors(other=1) == []
    assert errors(short="longer") == ["spec.short: Too long: may not be more than 1 byte"]
    # An item of a plain list is not found again, so the list is judged as a whole.
    assert len(errors(plain=["long", "long"])) == 2
    moved = [{"k": "b", "v": "long"}, {"k": "a", "v": "longer"}]
    assert errors(keyed=moved) == ["spec.keyed[1].v: Too long: may not be more than 1 byte"]
    # Of what no schema describes nobody knows whether it is as it was.
    old["free"] = {"x": 1, "y": 2}
    assert errors() == ["spec.free: Too many: 2: must have at most 1 items"]


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("bsonobjectid", ["507f1f77bcf86cd799439011"], ["x"]),
        ("byte", ["YQ=="], ["YQ", "", "a-_="]),
        ("cidr", ["1.2.3.4/8", "::/0", "01.2.3.4/8"], ["1.2.3.4", "1.2.3.4/33"]),
        ("creditcard", ["4111 1111 1111 1111"], ["4111 1111 1111 1112", "x"]),
        ("date", ["2020-02-29", "0000-02-29"], ["2021-02-29", "2020-1-1"]),
        ("date-time", ["2020-01-01t00:00:00.5+01:00"], ["2020-01-01T24:00:00Z", "2020-01-01 00:00:00Z"]),
        ("duration", ["1s", "22 ns", "1 hour", "3w", "-1h"], ["x", "1 fortnight", "", f"{2**63} days"]),
        ("email", ["a@b.c", "A B <a@b>", '"x y"@b.c', "a@[1.2.3.4]"], ["a", "a@", "a@b@c", "a.@b", "a b@c"]),
        ("hexcolor", ["#fff", "fff"], ["#ffff"]),
        ("hostname", ["a.bc", "a", "1"], ["-a", "a_b", "a..b", "a" * 64]),
        ("ipv4", ["1.2.3.4", "01.2.3.4"], ["1.2.3", "::1"]),
        ("ipv6", ["::1", "::ffff:1.2.3.4"], ["1.2.3.4", "fe80::1%e"]),
        ("isbn", ["0321751043", "978-0321751041"], ["0321751044"]),
        ("k8s-long-name", ["a.b"], ["A", "a" * 254]),
        ("k8s-short-name", ["a-b"], ["a.b", "a" * 64]),
        ("mac", ["00:11:22:33:44:55", "0011.2233.4455"], ["0:1:2:3:4:5", "00:11:22:33:44"]),
        ("password", [""], []),
        ("rgbcolor", ["rgb(1, 2,3)"], ["rgb(256,2,3)"]),
        ("ssn", ["123-45-6789"], ["123456789", "123-456789"]),
        ("uri", ["http://a/b", "/x", "a:b", "*", "//x"], ["a/b", "", "http://a b/", "http://a/%zz"]),
        ("uuid4", ["6ba7b810-9dad-41d1-80b4-00c04fd430c8"], ["6ba7b810-9dad-41d1-00b4-00c04fd430c8"]),
    ],
)
def test_formats_of_texts(form: str, good: list[str], bad: list[str]) -> None:
    judge = textformats.TEXTS[textformats.named(form)]
    assert [text for text in (*good, *bad) if judge(text)] == good
    for text in bad:
        (error,) = told(text, {**TEXT, "format": form})
        assert error.startswith(f'spec.a: Invalid value: "{text}": spec.a in body must be of type {form}: "')


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("duration", "1" * 300_000),
        ("email", "a" * 300_000 + "!"),
        ("email", " " * 300_000),
        ("email", '"' * 300_000),
        ("email", "<" + " " * 300_000),
    ],
)
def test_no_text_is_gone_through_again_and_again(form: str, text: str) -> None:
    # It would be for minutes, or for ever.
    assert not textformats.TEXTS[form](text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("email", "a" * 10**6),
        ("email", '"' + "a" * 10**6),
        ("creditcard", "4 " * 10**6),
        ("isbn", "1 " * 10**6),
        ("k8slongname", "a." * 10**6),
    ],
)
def test_no_single_call_of_an_expression_lasts(form: str, text: str) -> None:
    # One call is not to be interrupted: others wait for it in whichever thread it is made.
    begun = time.thread_time()
    assert not textformats.TEXTS[form](text)
    assert time.thread_time() - begun < 0.08


@pytest.mark.parametrize(
    ("part", "value", "wanted"),
    [
        ({"x-kubernetes-list-type": "set", "items": TEXT}, ["a", "b", "a", "a"], ['[2]: Duplicate value: "a"']),
        ({"x-kubernetes-list-type": "set", "items": ANY}, [1, 1.0, True, {"b": 1, "a": 2}, {"a": 2, "b": 1}],
         ['[4]: Duplicate value: {"a":2,"b":1}']),
        ({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b"], "items": PARTS},
         [{"b": "1"}, {"b": "1", "c": 2}, {}], ['[1]: Duplicate value: {"b":"1"}']),
        ({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b"], "items": PARTS}, [{}, {}],
         ["[1]: Duplicate value: {}"]),
        ({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["c", "b"], "items": PARTS},
         [{"b": "1", "c": 2}, {"c": 2, "b": "1"}, {"b": "1"}], ['[1]: Duplicate value: {"b":"1","c":2}']),
        ({"items": TEXT}, ["a", "a"], []),
    ],
)  # fmt: skip
def test_items_that_must_differ(part: Obj, value: list[Any], wanted: list[str]) -> None:
    fields = {"a": {"type": "array", **part}}
    schema = CustomSchema({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}})
    new: Obj = {"spec": {"a": value}}
    old: Obj = {"spec": {"a": []}}
    assert [str(error) for error in schema.check(new)] == [f"spec.a{text}" for text in wanted]
    assert schema.check(new, old) == schema.check(new) and schema.check(new, new) == []


def test_embedded_objects_are_objects() -> None:
    fields = {"a": {"type": "object", "x-kubernetes-embedded-resource": True, **ANY}}
    schema = CustomSchema({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}})

    def errors(value: Obj) -> list[str]:
        return [str(error) for error in schema.check({"spec": {"a": value}})]

    pod = {"apiVersion": "v1", "kind": "Pod"}
    assert errors(pod) == errors({**pod, "metadata": {"generateName": "a-"}}) == []
    assert errors({}) == ["spec.a.apiVersion: Required value", "spec.a.kind: Required value"]
    assert errors({**pod, "apiVersion": "a/b/c"}) == [
        'spec.a.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'
    ]
    assert errors({**pod, "metadata": {"name": "a/b", "managedFields": [{"manager": "m"}]}}) == [
        "spec.a.metadata.name: Invalid value: \"a/b\": may not contain '/'",
        'spec.a.metadata.managedFields[0].operation: Invalid value: "": must be `Apply` or `Update`',
    ]


def test_what_scales_is_a_number() -> None:
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}
    schema = CustomSchema({"type": "object", **ANY})

    def errors(obj: Obj, status: bool = False) -> list[str]:
        return [str(error) for error in schema.check(obj, scale=scale, status=status)]

    assert errors({"spec": {"n": 1}}) == errors({"spec": None}) == []
    assert errors({"spec": {"n": -1}, "status": {"n": 2**31}}) == [
        ".spec.n: Invalid value: -1: should be a non-negative integer",
        ".status.n: Invalid value: 2147483648: should be less than or equal to 2147483647",
    ]
    assert errors({"spec": 1, "status": {"n": 1.5, "s": []}}, status=True) == [
        ".status.n: Invalid value: 0: .status.n accessor error: 1.5 is of the type float64, expected int64",
        '.status.s: Invalid value: "": .status.s accessor error: [] is of the type []interface {}, expected string',
    ]
    (error,) = errors({"spec": 1})
    assert error.endswith(".spec.n accessor error: 1 is of the type int64, expected map[string]interface{}")


def test_a_status_is_judged_alone() -> None:
    status = {"type": "object", "properties": {"a": TEXT}}
    schema = CustomSchema({"type": "object", "properties": {"spec": TEXT, "status": status}})
    assert [str(error) for error in schema.check({"spec": 1, "status": {"a": 1}}, {}, status=True)] == [
        'status.a: Invalid value: "integer": a in body must be of type string: "integer"'
    ]
    assert schema.check({"spec": 1}, {}, status=True) == []
