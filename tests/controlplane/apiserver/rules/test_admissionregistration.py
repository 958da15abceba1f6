"""What is refused of webhook configurations and admission policies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controlplane.apiserver.rules.cases import Obj, expect, put, told

PATCH = "[JSONPatch{op: 'remove', path: '/a'}]"
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def made(kind: str, **fields: Any) -> Obj:
    version = "admissionregistration.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **fields}


def fields_of(obj: Obj, base: str) -> list[str]:
    """The fields that are complained of, from `base` on."""
    found = told(obj)
    assert all(text.startswith(base) for text in found), found
    return [text.partition(": ")[0].removeprefix(base) for text in found]


def hook(**fields: Any) -> Obj:
    return {
        "name": "a.b.c",
        "clientConfig": {"url": "https://a/b"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [RULE],
        **fields,
    }


def service(**fields: Any) -> Obj:
    return {"clientConfig": {"service": {"name": "s", "namespace": "n", **fields}}}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, []),
        ({"name": "a.b"}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"sideEffects": None}, ["sideEffects"]),
        ({"sideEffects": "Some"}, ["sideEffects"]),
        ({"timeoutSeconds": 0}, ["timeoutSeconds"]),
        ({"failurePolicy": "Odd", "matchPolicy": "Odd"}, ["failurePolicy", "matchPolicy"]),
        ({"reinvocationPolicy": "Odd"}, ["reinvocationPolicy"]),
        ({"admissionReviewVersions": []}, ["admissionReviewVersions"]),
        ({"admissionReviewVersions": ["v2", "v2"]}, ["admissionReviewVersions[1]", "admissionReviewVersions"]),
        ({"clientConfig": {}}, ["clientConfig"]),
        ({"clientConfig": {"url": "http://u@a/b?c#d"}}, ["clientConfig.url"] * 4),
        ({"clientConfig": {"url": "https://"}}, ["clientConfig.url"]),
        (service(), []),
        (service(port=0), ["clientConfig.service.port"]),
        (service(path="/a/b/"), []),
        (service(path="/a//B"), ["clientConfig.service.path"] * 2),
        ({"matchConditions": [{"name": "a", "expression": " "}]}, ["matchConditions[0].expression"]),
    ],
)
def test_webhooks(fields: Obj, wanted: list[str]) -> None:
    assert fields_of(made("MutatingWebhookConfiguration", webhooks=[hook(**fields)]), "webhooks[0].") == wanted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"sideEffects": None}, ["sideEffects: Required value: must specify one of None, NoneOnDryRun"]),
        ({"sideEffects": ""}, ['sideEffects: Unsupported value: "": supported values: "None", "NoneOnDryRun"']),
        # Upstream tells each of the two by the other's name.
        ({"clientConfig": {"service": {"name": "s"}}}, ["clientConfig.service.name: Required value"]),
        ({"clientConfig": {"service": {"namespace": "n"}}}, ["clientConfig.service.namespace: Required value"]),
        ({"name": "-" * 254}, ['name: Invalid value: "---']),
        (
            {"clientConfig": {"url": ""}},
            [
                "clientConfig.url: Invalid value: \"\": 'https' is the only allowed URL scheme; desired format",
                'clientConfig.url: Invalid value: "": host must be specified',
            ],
        ),
        (
            {"clientConfig": {"url": "https://u@"}},
            [
                'clientConfig.url: Invalid value: "": host must be specified',
                'clientConfig.url: Invalid value: "u": user information is not permitted in the URL',
            ],
        ),
    ],
)
def test_what_is_said_of_webhooks(fields: Obj, wanted: list[str]) -> None:
    found = told(made("ValidatingWebhookConfiguration", webhooks=[hook(**fields)]))
    expect(found, [f"webhooks[0].{text}" for text in wanted])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("://a/b", "missing protocol scheme"),
        ("1.2.3.4:8443/b", "first path segment in URL cannot contain colon"),
        ("https://a:b/c#d", 'invalid port ":b" after host'),
        ("https://[::1]x/", 'invalid port "x" after host'),
        ("https://[::1", "missing ']' in host"),
        ("https://a b/c", 'invalid character " " in host name'),
        ("https://a/%zzz", 'invalid URL escape "%zz"'),
        ("https://a/\x7f", "net/url: invalid control character in URL"),
    ],
)
def test_what_is_no_url(url: str, why: str) -> None:
    shown = url.partition("#")[0].replace("\x7f", "\\x7f")
    (text,) = told(made("ValidatingWebhookConfiguration", webhooks=[hook(clientConfig={"url": url})]))
    start = f'webhooks[0].clientConfig.url: Required value: url must be a valid URL: parse "{shown}": {why}'
    assert text == f"{start}; desired format: https://host[/path]"


@pytest.mark.parametrize("url", ["https://a", "https://a.b:443/c%20d", "https://[::1]:443/", "https://a:/"])
def test_what_is_a_url(url: str) -> None:
    assert told(made("ValidatingWebhookConfiguration", webhooks=[hook(clientConfig={"url": url})])) == []


def test_webhooks_have_names_of_their_own() -> None:
    found = told(made("ValidatingWebhookConfiguration", webhooks=[hook(), hook()]))
    assert found == ['webhooks[1].name: Duplicate value: "a.b.c"']


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"operations": ["*", "CREATE"]}, ["operations"]),
        ({"apiGroups": ["*", "a"], "apiVersions": [""]}, ["apiGroups", "apiVersions[0]"]),
        ({"resources": ["*", "pods"]}, ["resources"]),
        ({"resources": ["*", "pods/log"]}, []),
        ({"resources": ["pods/*", "pods/log"]}, ["resources[1]"]),
        ({"resources": ["*/log", "pods/log"]}, ["resources[1]"]),
        ({"resources": ["*/*", "pods"]}, ["resources"]),
        ({"resources": [""]}, ["resources[0]"]),
        ({"scope": "Odd"}, ["scope"]),
    ],
)
def test_rules(change: Obj, wanted: list[str]) -> None:
    configuration = made("ValidatingWebhookConfiguration", webhooks=[hook(rules=[{**RULE, **change}])])
    assert fields_of(configuration, "webhooks[0].rules[0].") == wanted


MATCH = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [RULE]}


def policy(**spec: Any) -> Obj:
    validations = [{"expression": "true"}]
    return made("ValidatingAdmissionPolicy", spec={"matchConstraints": MATCH, "validations": validations, **spec})


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"validations": []}, ["validations", "auditAnnotations"]),
        ({"validations": [{"expression": " "}]}, ["validations[0].expression"]),
        (
            {"validations": [{"expression": "true", "message": " ", "reason": "Odd"}]},
            ["validations[0].message", "validations[0].reason"],
        ),
        ({"matchConstraints": None}, ["matchConstraints"]),
        ({"matchConstraints": {**MATCH, "resourceRules": []}}, ["matchConstraints.resourceRules"]),
        (
            {"matchConstraints": {**MATCH, "resourceRules": [{**RULE, "resourceNames": ["a", "a"]}]}},
            ["matchConstraints.resourceRules[0].resourceNames[1]"],
        ),
        ({"paramKind": {"apiVersion": "A/v1", "kind": "a b"}}, ["paramKind.apiVersion", "paramKind.kind"]),
        ({"variables": [{"name": "a-b", "expression": ""}]}, ["variables[0].name", "variables[0].expression"]),
        (
            {"auditAnnotations": [{"key": "k", "valueExpression": "'x'"}, {"key": "k", "valueExpression": "'x'"}]},
            ["auditAnnotations[1].key"],
        ),
        (
            {"auditAnnotations": [{"key": "k/l", "valueExpression": " "}]},
            [f"auditAnnotations[0].{key}" for key in ("key", "valueExpression")],
        ),
        ({"variables": [{"name": "in", "expression": "1"}]}, ["variables[0].name"]),
    ],
)
def test_policies(spec: Obj, wanted: list[str]) -> None:
    assert fields_of(policy(**spec), "spec.") == wanted


def test_policies_that_are_empty_are_none() -> None:
    assert told(policy(failurePolicy="", matchConstraints={**MATCH, "matchPolicy": ""})) == [
        'spec.failurePolicy: Unsupported value: "": supported values: "Fail", "Ignore"',
        'spec.matchConstraints.matchPolicy: Unsupported value: "": supported values: "Equivalent", "Exact"',
    ]


@pytest.mark.parametrize(
    ("mutation", "wanted"),
    [
        ({"patchType": "JSONPatch", "jsonPatch": {"expression": PATCH}}, []),
        ({"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}, ["jsonPatch.expression"]),
        ({"patchType": "JSONPatch", "jsonPatch": {"expression": ""}}, ["jsonPatch.expression"]),
        ({"patchType": "ApplyConfiguration", "jsonPatch": {"expression": "[]"}}, ["applyConfiguration", "jsonPatch"]),
        ({"patchType": "Odd"}, ["patchType"]),
        ({}, ["patchType"]),
    ],
)
def test_mutations(mutation: Obj, wanted: list[str]) -> None:
    assert fields_of(mutating([mutation]), "spec.mutations[0].") == wanted


def mutating(mutations: list[Obj]) -> Obj:
    spec = {"matchConstraints": MATCH, "mutations": mutations, "reinvocationPolicy": "Never"}
    return made("MutatingAdmissionPolicy", spec=spec)


def test_what_changes_objects_is_not_asked_about_deletions() -> None:
    changes = {"spec.matchConstraints.resourceRules.0.operations": ["CREATE", "DELETE"]}
    wanted = ['spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*"']
    expect(told(put(mutating([{"patchType": "JSONPatch", "jsonPatch": {"expression": PATCH}}]), changes)), wanted)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"policyName": ""}, ["policyName"]),
        ({"validationActions": []}, ["validationActions"]),
        ({"validationActions": ["Deny", "Warn"]}, ["validationActions"]),
        ({"paramRef": {"name": "p"}}, ["paramRef.parameterNotFoundAction"]),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, ["paramRef"]),
        (
            {"paramRef": {"name": "a/b", "parameterNotFoundAction": "Odd"}},
            ["paramRef.name", "paramRef.parameterNotFoundAction"],
        ),
        ({"matchResources": {**MATCH, "matchPolicy": "Odd"}}, ["matchResources.matchPolicy"]),
    ],
)
def test_bindings(spec: Obj, wanted: list[str]) -> None:
    whole = {"policyName": "p", "validationActions": ["Deny"], **spec}
    assert fields_of(made("ValidatingAdmissionPolicyBinding", spec=whole), "spec.") == wanted


COMPILED = "compilation failed: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"validations": [{"expression": "foo"}]}, [f'validations[0].expression: Invalid value: "foo": {COMPILED}']),
        (
            {"validations": [{"expression": "1", "messageExpression": "1"}]},
            [
                'validations[0].expression: Invalid value: "1": must evaluate to bool but got int',
                'validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int',
            ],
        ),
        ({"validations": [{"expression": "object.a"}]}, ['validations[0].expression: Invalid value: "object.a": must']),
        ({"validations": [{"expression": "params.a == 1"}]}, ["validations[0].expression"]),
        (
            {"validations": [{"expression": "params.a == 1"}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}},
            [],
        ),
        (
            {
                "variables": [{"name": "a", "expression": "1"}, {"name": "b", "expression": "variables.a + 1"}],
                "validations": [{"expression": "variables.b > 1", "messageExpression": "string(variables.b)"}],
            },
            [],
        ),
        (
            {
                "variables": [{"name": "b", "expression": "variables.a"}, {"name": "a", "expression": "1"}],
                "validations": [{"expression": "variables.b && variables.c"}],
            },
            ["variables[0].expression", "validations[0].expression"],
        ),
        (
            {
                "variables": [{"name": "a", "expression": " "}, {"name": "b", "expression": "variables.a"}],
                "validations": [{"expression": "variables.b == 1"}],
            },
            ["variables[0].expression: Required value", "variables[1].expression: Invalid value"],
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "1"}]},
            ['auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but'],
        ),
        (
            {"matchConditions": [{"name": "a", "expression": " variables.a "}]},
            ['matchConditions[0].expression: Invalid value: "variables.a": compilation failed'],
        ),
        (
            {"validations": [{"expression": "matches('a', '*')"}]},
            ["validations[0].expression: Internal error: program instantiation failed: error parsing regexp: missing"],
        ),
    ],
)
def test_expressions_of_policies(fields: Obj, wanted: list[str]) -> None:
    obj = made(
        "ValidatingAdmissionPolicy",
        spec={
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [RULE]},
            "validations": [{"expression": "true"}],
            **fields,
        },
    )
    expect(told(obj), [f"spec.{text}" for text in wanted])


def test_what_changes_objects_says_so() -> None:
    applied = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": "Object{spec: Object.spec{a: 1}}"},
    }
    assert told(mutating([applied])) == []
    applied["applyConfiguration"] = {"expression": "object"}
    expect(
        told(mutating([applied])),
        ['spec.mutations[0].applyConfiguration.expression: Invalid value: "object": must evaluate to Object'],
    )


def test_conditions_that_were_stored_are_not_looked_at_again() -> None:
    hooks = made("MutatingWebhookConfiguration", webhooks=[hook(matchConditions=[{"name": "a", "expression": "foo"}])])
    assert len(told(hooks)) == 1
    old = {**hooks, "metadata": {**hooks["metadata"], "labels": {"a": "b"}}}
    assert told(hooks, old) == []
