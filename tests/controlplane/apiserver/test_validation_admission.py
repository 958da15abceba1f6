"""What is refused of webhook configurations and admission policies."""

from typing import Any

import pytest

from controlplane.apiserver.validation import policies, webhooks

Obj = dict[str, Any]
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


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
    found = webhooks.mutating({"webhooks": [hook(**fields)]})
    assert [error.field for error in found] == [f"webhooks[0].{field}" for field in wanted]


def test_webhooks_have_names_of_their_own() -> None:
    (found,) = webhooks.validating({"webhooks": [hook(), hook()]})
    assert str(found) == 'webhooks[1].name: Duplicate value: "a.b.c"'


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
    assert [error.field for error in webhooks.rule_with_operations("r", {**RULE, **change})] == [
        f"r.{f}" for f in wanted
    ]


MATCH = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [RULE]}


def policy(**spec: Any) -> Obj:
    return {
        "spec": {"failurePolicy": "Fail", "matchConstraints": MATCH, "validations": [{"expression": "true"}], **spec}
    }


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
    ],
)
def test_policies(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in policies.validating(policy(**spec))] == [f"spec.{field}" for field in wanted]


@pytest.mark.parametrize(
    ("mutation", "wanted"),
    [
        ({"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}, []),
        ({"patchType": "JSONPatch", "jsonPatch": {"expression": ""}}, ["jsonPatch.expression"]),
        ({"patchType": "ApplyConfiguration", "jsonPatch": {"expression": "[]"}}, ["applyConfiguration", "jsonPatch"]),
        ({"patchType": "Odd"}, ["patchType"]),
        ({}, ["patchType"]),
    ],
)
def test_mutations(mutation: Obj, wanted: list[str]) -> None:
    found = policies.mutating(policy(mutations=[mutation], reinvocationPolicy="Never"))
    assert [error.field for error in found] == [f"spec.mutations[0].{field}" for field in wanted]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"policyName": ""}, ["policyName"]),
        ({"validationActions": []}, ["validationActions"]),
        ({"validationActions": ["Deny", "Warn"]}, ["validationActions"]),
        ({"paramRef": {"name": "p"}}, ["paramRef.parameterNotFoundAction"]),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, ["paramRef"]),
        ({"matchResources": {**MATCH, "matchPolicy": None}}, ["matchResources.matchPolicy"]),
    ],
)
def test_bindings(spec: Obj, wanted: list[str]) -> None:
    found = policies.binding({"spec": {"policyName": "p", "validationActions": ["Deny"], **spec}})
    assert [error.field for error in found] == [f"spec.{field}" for field in wanted]
