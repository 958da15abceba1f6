"""What is refused of definitions of custom resources."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import patterns
from controlplane.apiserver.rules.apiextensions import internal
from controlplane.apiserver.strategies import definitions
from controlplane.apiserver.structural import conforming
from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, complete, expect, put, told

VERSION = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
DEFINITION: Obj = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [VERSION],
    },
    "status": {"storedVersions": ["v1"]},
}
ROOT = "spec.validation.openAPIV3Schema"
A = f"{ROOT}.properties[a]"
LABEL = "a DNS-1035 label must consist of"


def changed(changes: Obj) -> list[str]:
    return told(put(DEFINITION, changes))


def with_schema(schema: Obj) -> Obj:
    return put(DEFINITION, {"spec.versions.0.schema.openAPIV3Schema": schema})


def field(part: Obj, **more: Any) -> Obj:
    return {"type": "object", "properties": {"a": part}, **more}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        (
            {"spec.group": ""},
            ["metadata.name: Invalid value", "spec.group: Required value"],
        ),
        (
            {"spec.group": "local", "metadata.name": "widgets.local"},
            ['spec.group: Invalid value: "local": should be a domain with at least one dot'],
        ),
        ({"spec.scope": ABSENT}, ["spec.scope: Required value"]),
        ({"spec.scope": "Odd"}, ['spec.scope: Unsupported value: "Odd": supported values: "Cluster", "Namespaced"']),
        (
            {"spec.names.kind": ABSENT},
            [f"spec.names.{name}: Required value" for name in ("singular", "kind", "listKind")],
        ),
        (
            {"spec.names.listKind": "Widget"},
            ['spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same'],
        ),
        (
            {"spec.names.kind": "Wid_get", "spec.names.shortNames": ["W"], "spec.names.listKind": "List"},
            [
                f'spec.names.singular: Invalid value: "wid_get": {LABEL}',
                f'spec.names.kind: Invalid value: "Wid_get": may have mixed case, but should otherwise match: {LABEL}',
                f'spec.names.shortNames[0]: Invalid value: "W": {LABEL}',
            ],
        ),
        (
            {"spec.versions": []},
            [
                "spec.versions: Invalid value: []: must have exactly one version marked as storage version",
                'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously',
            ],
        ),
        (
            {"spec.versions.0.name": "V1"},
            [
                f'spec.versions[0].name: Invalid value: "V1": {LABEL}',
                f'spec.version: Invalid value: "V1": {LABEL}',
                'status.storedVersions: Invalid value: ["v1"]: must have the storage version V1',
                'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously',
            ],
        ),
        (
            {"spec.versions.1": {**VERSION, "storage": False}},
            ['spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":true,'],
        ),
        ({"spec.versions.0.schema": ABSENT}, ["spec.versions[0].schema.openAPIV3Schema: Required value"]),
        (
            {"spec.versions.0.deprecationWarning": "x"},
            ['spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions'],
        ),
        (
            {"spec.versions.0.deprecated": True, "spec.versions.0.deprecationWarning": "a\x07"},
            ["spec.versions[0].deprecationWarning: Invalid value: "],
        ),
        (
            {"spec.preserveUnknownFields": True},
            ["spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve"],
        ),
        (
            {"spec.conversion": {"strategy": "Webhook"}},
            [
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ],
        ),
        (
            {
                "spec.conversion": {
                    "strategy": "Webhook",
                    "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v9"]},
                }
            },
            [
                "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
                'spec.conversion.conversionReviewVersions: Invalid value: ["v9"]: must include at least one of v1',
            ],
        ),
        (
            {"spec.conversion": {"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}},
            ["spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Web"],
        ),
        (
            {"spec.versions.0.subresources": {"scale": {"specReplicasPath": ".foo", "labelSelectorPath": "x"}}},
            [
                'spec.subresources.scale.specReplicasPath: Invalid value: ".foo": should be a json path under .spec',
                "spec.subresources.scale.statusReplicasPath: Required value",
                'spec.subresources.scale.labelSelectorPath: Invalid value: "x": must be a simple json path starting wi',
            ],
        ),
        (
            {"spec.versions.0.additionalPrinterColumns": [{"name": "", "type": "odd", "jsonPath": "x", "format": "y"}]},
            [
                "spec.additionalPrinterColumns[0].name: Required value",
                'spec.additionalPrinterColumns[0].type: Invalid value: "odd": must be one of boolean,date,integer,num',
                'spec.additionalPrinterColumns[0].format: Invalid value: "y": must be one of byte,date,date-time,doub',
                'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "x": must be a simple json path starting w',
            ],
        ),
    ],
)
def test_definitions(changes: Obj, wanted: list[str]) -> None:
    expect(changed(changes), wanted)


@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ({"maxProperties": 0}, False),
        ({"default": {"apiVersion": "v1", "kind": "A"}}, False),
        ({"x-kubernetes-int-or-string": False, "enum": []}, True),
        ({"required": ["spec"]}, True),
    ],
)
def test_beside_a_status_the_root_says_nothing_of_the_whole(more: Obj, allowed: bool) -> None:
    made = with_schema({"type": "object", **more})
    assert told(made) == []
    wanted = [] if allowed else [f"{ROOT}: Invalid value: "]
    expect(told(put(made, {"spec.versions.0.subresources": {"status": {}}})), wanted)


def test_what_versions_do_not_share_is_told_by_version() -> None:
    other = {**VERSION, "name": "v2", "storage": False, "schema": {"openAPIV3Schema": {"type": "string"}}}
    wanted = ['spec.versions[1].schema.openAPIV3Schema.type: Invalid value: "string": must be object at the root']
    expect(changed({"spec.versions.1": other}), wanted)


def test_the_communitys_groups_are_approved() -> None:
    theirs = put(DEFINITION, {"spec.group": "x.k8s.io", "metadata.name": "widgets.x.k8s.io"})
    path = "metadata.annotations[api-approved.kubernetes.io]"
    expect(told(theirs), [f"{path}: Required value: protected groups must have approval annotation"])
    for said, wanted in (("soon", [f'{path}: Invalid value: "soon": protected']), ("unapproved, a test", [])):
        expect(told(put(theirs, {"metadata.annotations": {"api-approved.kubernetes.io": said}})), wanted)
    assert told(put(theirs, {"spec.names.shortNames": ["w"]}), theirs) == []


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (
            {"properties": {"a": {}}},
            [
                f"{A}.type: Required value: must not be empty for specified object fields",
                f"{ROOT}.type: Required value: must not be empty at the root",
            ],
        ),
        (field({"type": "array"}), [f"{A}.items: Required value: must be specified"]),
        (
            field({"type": "array", "items": {}}),
            [f"{A}.items.type: Required value: must not be empty for specified array"],
        ),
        (
            field({"type": "odd"}),
            [f'{A}.type: Unsupported value: "odd": supported values: "array", "boolean", "integer"'],
        ),
        (field({"type": "string", "$ref": "#/x"}), [f"{A}.$ref: Forbidden: $ref is not supported"]),
        (
            field(
                {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}
            ),
            [f"{A}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            field({"type": "string", "anyOf": [{"type": "string"}]}),
            [f"{A}.anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (field({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}), []),
        (
            {"type": "object", "not": {"properties": {"b": {"minimum": 1}}}},
            [f"{ROOT}.properties[b]: Required value: because it is defined in {ROOT}.not.properties[b]"],
        ),
        (
            {
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
            },
            [f"{ROOT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName"],
        ),
        (
            {
                "type": "object",
                "properties": {
                    "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}}
                },
            },
            [],
        ),
        (
            field({"x-kubernetes-embedded-resource": True}),
            [
                f"{A}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without",
                f"{A}.type: Required value: must be object if x-kubernetes-embedded-resource is true",
            ],
        ),
        (
            field({"type": "string", "pattern": "("}),
            [f'{A}.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing'],
        ),
        (
            field({"type": "object", "x-kubernetes-preserve-unknown-fields": False}),
            [f"{A}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
        ),
        ({"type": "object", "nullable": True}, [f"{ROOT}.nullable: Forbidden: nullable cannot be true at the root"]),
        (
            field({"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
            [f"{A}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity beco"],
        ),
    ],
)
def test_structure(schema: Obj, wanted: list[str]) -> None:
    expect(told(with_schema(schema)), wanted)


def of_maps(**more: Any) -> Obj:
    keyed = {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"]}
    listed = {"type": "array", "items": keyed, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    return field(put(listed, more))


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (of_maps(), []),
        (
            of_maps(**{"x-kubernetes-list-map-keys": ABSENT}),
            [f"{A}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"],
        ),
        (
            of_maps(**{"x-kubernetes-list-map-keys": ["z"]}),
            [f'{A}.x-kubernetes-list-map-keys: Invalid value: ["z"]: entries must all be names of item properties'],
        ),
        (
            of_maps(**{"items.required": ABSENT}),
            [f"{A}.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys"],
        ),
        (
            of_maps(**{"items.nullable": True}),
            [f"{A}.items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map"],
        ),
        (
            of_maps(**{"x-kubernetes-list-type": ABSENT}),
            [f"{A}.x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty"],
        ),
        (
            field({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
            [f"{A}.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with"],
        ),
        (
            field({"type": "array", "x-kubernetes-list-type": "odd", "items": {"type": "string"}}),
            [f'{A}.x-kubernetes-list-type: Unsupported value: "odd": supported values: "atomic", "set", "map"'],
        ),
        (
            field({"type": "string", "x-kubernetes-map-type": "atomic"}),
            [f'{A}.type: Invalid value: "string": must be object if x-kubernetes-map-type is specified'],
        ),
    ],
)
def test_lists_and_maps(schema: Obj, wanted: list[str]) -> None:
    expect(told(with_schema(schema)), wanted)


RULE = f"{A}.x-kubernetes-validations"


def test_expressions_say_something() -> None:
    rules = [
        {"rule": ""},
        {"rule": "true", "message": "a\nb"},
        {"rule": "true\n"},
        {"rule": "a\n&& b"},
        {"rule": "true", "reason": "Odd"},
        {"rule": "true", "fieldPath": ".x"},
    ]
    wanted = [
        f"{RULE}[0].rule: Required value: rule is not specified",
        f'{RULE}[1].message: Invalid value: "a\\nb": must not contain line breaks',
        f"{RULE}[3].message: Required value: message must be specified if rule contains line breaks",
        f'{RULE}[4].reason: Unsupported value: "Odd": supported values: "FieldValueDuplicate", "FieldValueForbidden"',
        f'{RULE}[5].fieldPath: Invalid value: ".x": must be a valid path',
    ]
    expect(told(with_schema(field({"type": "string", "x-kubernetes-validations": rules}))), wanted)


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (field({"type": "integer", "default": 3}), []),
        (
            field({"type": "integer", "default": "string"}),
            [f'{A}.default: Invalid value: "string":  in body must be of type integer: "string"'],
        ),
        (
            field({"type": "object", "properties": {"x": {"type": "string"}}, "default": {"y": 1}}),
            [f'{A}.default: Invalid value: {{"y":1}}: must not have unknown fields'],
        ),
        (field({"type": "object", "x-kubernetes-preserve-unknown-fields": True, "default": {"y": {"z": [{}]}}}), []),
        (field({"type": "object", "additionalProperties": {"type": "string"}, "default": {"y": "z"}}), []),
        (
            {"type": "object", "properties": {"metadata": {"type": "object", "default": {"name": "x"}}}},
            [f"{ROOT}.properties[metadata].default: Forbidden: must not be set in top-level metadata"],
        ),
    ],
)
def test_defaults(schema: Obj, wanted: list[str]) -> None:
    expect(told(with_schema(schema)), wanted)


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        ([".a", ".b.c"], []),
        (
            [".zz"],
            ['spec.selectableFields[0].jsonPath: Invalid value: ".zz": is an invalid path: does not refer to a va'],
        ),
        (
            ["a"],
            ['spec.selectableFields[0].jsonPath: Invalid value: "a": is an invalid path: expected [ or . but got: a'],
        ),
        (
            [".b['c']"],
            ["spec.selectableFields[0].jsonPath: Invalid value: \".b['c']\": is an invalid path: array nota"],
        ),
        (
            [".b"],
            ['spec.selectableFields[0].jsonPath: Invalid value: ".b": must point to a field of type string, bool'],
        ),
        ([".a", ".a"], ['spec.selectableFields[1].jsonPath: Duplicate value: ".a"']),
        ([""], ["spec.selectableFields[0].jsonPath: Required value"]),
    ],
)
def test_selectable_fields(paths: list[str], wanted: list[str]) -> None:
    properties = {"a": {"type": "string"}, "b": {"type": "object", "properties": {"c": {"type": "integer"}}}}
    made = with_schema({"type": "object", "properties": properties})
    made["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": path} for path in paths]
    expect(told(made), wanted)


def test_what_was_stored_before_a_rule_may_stay() -> None:
    old = with_schema(field({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}))
    assert told(put(old, {"spec.names.shortNames": ["w"]}), old) == []
    assert told(old, DEFINITION) != []


def test_what_names_a_kind_stands() -> None:
    other = put(DEFINITION, {"spec.scope": "Cluster", "spec.names.plural": "things", "spec.names.kind": "Thing"})
    plural = 'spec.names.plural: Invalid value: "things": field is immutable'
    assert told(other, DEFINITION) == [plural]
    established = put(DEFINITION, {"status.conditions": [{"type": "Established", "status": "True"}]})
    assert told(other, established) == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Thing": field is immutable',
        plural,
    ]


def test_names_follow_the_kind() -> None:
    made = complete(DEFINITION)["spec"]
    assert made["names"] == {"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"}
    assert made["conversion"] == {"strategy": "None"}


def test_formats_that_are_new_and_unknown_are_told() -> None:
    odd = with_schema(field({"type": "string", "format": "odd"}))
    assert list(definitions.unknown_formats(odd, None)) == ['unrecognized format "odd"']
    assert list(definitions.unknown_formats(odd, odd)) == []
    assert list(definitions.unknown_formats(with_schema(field({"type": "string", "format": "date-time"})), None)) == []


@pytest.mark.parametrize(
    ("value", "schema", "wanted"),
    [
        (5, {"type": "integer", "maximum": 4}, ["x: Invalid value: 5:  in body should be less than or equal to 4"]),
        (4, {"minimum": 4, "exclusiveMinimum": True}, ["x: Invalid value: 4:  in body should be greater than 4"]),
        ("ab", {"maxLength": 1}, ["x: Too long: may not be more than 1 byte"]),
        ("ab", {"pattern": "^b"}, ["x: Invalid value: \"ab\":  in body should match '^b'"]),
        ("a", {"enum": ["b", "c"]}, ['x: Unsupported value: "a": supported values: "b", "c"']),
        (1.0, {"enum": [1]}, []),
        (True, {"enum": [1, "true"]}, ["x: Unsupported value: true"]),
        (
            "a",
            {"enum": ["b", None, True, 1]},
            ['x: Unsupported value: "a": supported values: "b", "null", "true", "1"'],
        ),
        ([0], {"enum": [[False]]}, ["x: Unsupported value: "]),
        ([1], {"minItems": 2}, ["x: Invalid value: 1:  in body should have at least 2 items"]),
        (
            [1, "a"],
            {"items": {"type": "integer"}},
            ['x.[1]: Invalid value: "string": [1] in body must be of type'],
        ),
        ({}, {"required": ["a"]}, ["x.a: Required value"]),
        (
            {"a": {"b": 1}},
            field({"properties": {"b": {"type": "string"}}}),
            ['x.a.b: Invalid value: "integer": a.b in b'],
        ),
        (1.0, {"type": "integer"}, []),
        (None, {"type": "string", "nullable": True}, []),
        (None, {"type": "string"}, ['x: Invalid value: "null":  in body must be of type string: "null"']),
        (
            3,
            {"allOf": [{"minimum": 4}]},
            ["x: Invalid value: 3:  in body", 'x: Invalid value: "": "" must validate all'],
        ),
        (3, {"not": {"minimum": 1}}, ['x: Invalid value: "": "" must not validate the schema (not)']),
    ],
)
def test_values_of_a_schema(value: Any, schema: Obj, wanted: list[str]) -> None:
    expect([str(error) for error in conforming.wrong(value, schema, "x")], wanted)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (r"^[a-z]+\z", ""),
        ("[[:alpha:]]", ""),
        ("(", "missing closing ): `(`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        (r"a(?=b)", "invalid or unsupported Perl syntax: `(?=`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        (r"\p{Greek}(?i)a{2}", ""),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        (r"a\C", r"invalid escape sequence: `\C`"),
        (r"a\\C", ""),
        ("a(?<=b)c", "invalid named capture: `(?<=b)c`"),
        ("(?<b c>d)", "invalid named capture: `(?<b c>`"),
        ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
    ],
)
def test_patterns_are_those_of_go(pattern: str, wanted: str) -> None:
    assert patterns.complaint(pattern) == (f"error parsing regexp: {wanted}" if wanted else "")


def test_no_pattern_takes_longer_than_its_text() -> None:
    """By Python's own expressions this one would not end in a lifetime."""
    (error,) = conforming.wrong("a" * 1000 + "!", {"type": "string", "pattern": "^(a+)+$"}, "x")
    assert "should match '^(a+)+$'" in str(error)


def test_a_schema_is_shown_by_its_internal_fields() -> None:
    """Asked of upstream v1.36.2."""
    items = {"type": "string", "enum": ["x", 1], "default": "x", "example": {"b": 1.0}}
    parts = {
        "a": {"type": "array", "items": items, "maxItems": 3, "externalDocs": {"url": "u"}},
        "m": {"type": "object", "additionalProperties": {"type": "integer"}, "x-kubernetes-map-type": "atomic"},
    }
    shown = internal.schema({"type": "object", "maxProperties": 3, "properties": parts})
    assert list(shown)[:6] == ["ID", "Schema", "Ref", "Description", "Type", "Nullable"] and len(shown) == 44
    assert shown["Properties"]["a"]["Items"]["Schema"]["Enum"] == ["x", 1]
    assert shown["Properties"]["a"]["Items"]["JSONSchemas"] is None
    assert shown["Properties"]["a"]["ExternalDocs"] == {"Description": "", "URL": "u"}
    assert shown["Properties"]["m"]["AdditionalProperties"]["Allows"] is True
    assert internal.rule({"rule": "true"}) == {
        "Rule": "true", "Message": "", "MessageExpression": "", "Reason": None, "FieldPath": "", "OptionalOldSelf": None
    }  # fmt: skip
    made = put(with_schema({"type": "object", "maxProperties": 3}), {"spec.versions.0.subresources": {"status": {}}})
    (error,) = told(made)
    assert error.startswith('spec.validation.openAPIV3Schema: Invalid value: {"ID":"","Schema":"","Ref":null,"Descr')


def test_what_is_held_by_reference_is_shown_as_json() -> None:
    changes = {"spec.versions.0.deprecated": True, "spec.versions.0.deprecationWarning": "a\x01b"}
    (error,) = told(put(DEFINITION, changes))
    assert error.startswith('spec.versions[0].deprecationWarning: Invalid value: "a\\u0001b": must only contain')


def test_an_expression_that_takes_long_to_make_ready_is_refused_for_its_length() -> None:
    longest = patterns.LONGEST
    assert told(with_schema(_matching("a" * longest))) == []
    (wrong,) = told(with_schema(_matching("a?" * longest)))
    assert "expression too large: more than 10000 characters" in wrong
    assert patterns.compiled("a?" * longest) is None


def _matching(pattern: str) -> Obj:
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
