"""A policy's expressions are checked against the published types of the kinds that it names."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery import kinds
from apimachinery.kinds import Kind
from apimachinery.schema import Node, Schema
from controlplane.apiserver.expressions.checking import concerned, warnings

SERVED = (kinds.DEPLOYMENT, kinds.POD, kinds.CONFIG_MAP)
DEFINED = Kind("a.b", "v1", "Limit", "limits", "limit", True)
SCHEMA = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"most": {"type": "integer"}, "at": {"type": "string"}}}},
}


def _nothing(name: str) -> dict[str, Any]:
    raise KeyError(name)


def published(kind: Kind) -> Node | None:
    if kind is DEFINED:
        return Node(SCHEMA, _nothing, {})
    return Schema.load().node(kind.api_version, kind.kind)


def policy(*expressions: str, resource: str = "deployments", group: str = "apps", **spec: Any) -> dict[str, Any]:
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": ["*"]}
    validations = [{"expression": each} for each in expressions]
    return {"spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": validations, **spec}}


@pytest.mark.parametrize(
    ("expression", "at", "wrong"),
    [
        ("object.spec.replicas > 1", 0, ""),
        ("object.metadata.name.startsWith('a') && object.kind == 'Deployment'", 0, ""),
        ("object.spec.template.spec.containers.all(c, c.image.contains(':'))", 0, ""),
        ("object.metadata.labels.all(k, object.metadata.labels[k] != '')", 0, ""),
        ("object.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')", 0, ""),
        ("object.spec.strategy.rollingUpdate.maxSurge == 1", 0, ""),
        ("object.metadata.__namespace__ == object.metadata.namespace", 0, ""),
        ("oldObject.spec.replicas == 'a'", 25, "found no matching overload for '_==_' applied to '(int, string)'"),
        ("object.spec.foo > 1", 12, "undefined field 'foo'"),
        ("object.spec.template.spec.containers.all(c, c.imag != '')", 46, "undefined field 'imag'"),
        ("variables.count + 1 > 'a'", 21, "found no matching overload for '_>_' applied to '(int, string)'"),
        ("params.data.a == 'b'", 1, "undeclared reference to 'params' (in container '')"),
        ("request.operation == 1", 19, "found no matching overload for '_==_' applied to '(string, int)'"),
    ],
)
def test_what_does_not_fit_is_told_by_kind_and_place(expression: str, at: int, wrong: str) -> None:
    given = policy(expression, variables=[{"name": "count", "expression": "object.spec.replicas"}])
    found = warnings(given, concerned(given, SERVED), None, published)
    if not wrong:
        assert found == []
        return
    shown = f"ERROR: <input>:1:{at}: {wrong}\n | {expression}\n | {'.' * (at - 1)}^"
    assert found == [{"fieldRef": "spec.validations[0].expression", "warning": f"apps/v1, Kind=Deployment: {shown}\n"}]


def test_messages_and_parameters_are_checked_too() -> None:
    given = policy("params.spec.most > 1", paramKind={"apiVersion": "a.b/v1", "kind": "Limit"})
    given["spec"]["validations"][0]["messageExpression"] = "params.spec.least"
    found = warnings(given, concerned(given, SERVED), DEFINED, published)
    assert [each["fieldRef"] for each in found] == ["spec.validations[0].messageExpression"]
    assert "undefined field 'least'" in found[0]["warning"]


def test_a_rule_that_names_ten_kinds_is_the_last_that_is_looked_at() -> None:
    served = [Kind("a.b", "v1", f"K{number:02}", f"k{number:02}", f"k{number:02}", True) for number in range(40)]
    given = policy("true")
    rule = given["spec"]["matchConstraints"]["resourceRules"][0]
    named = ([f"k{number:02}" for number in each] for each in (range(9), range(9, 30), range(30, 40)))
    rules = [{**rule, "apiGroups": ["a.b"], "resources": resources} for resources in named]
    given["spec"]["matchConstraints"]["resourceRules"] = rules
    assert [kind.kind for kind in concerned(given, served)] == [f"K{number:02}" for number in range(19)]


@pytest.mark.parametrize(
    ("group", "resource", "wanted"),
    [
        ("apps", "deployments", [kinds.DEPLOYMENT]),
        ("", "pods", [kinds.POD]),
        ("*", "pods", []),
        ("", "*", []),
        ("", "pods/status", []),
        ("a.b", "others", []),
    ],
)
def test_kinds_are_those_that_are_named(group: str, resource: str, wanted: list[Kind]) -> None:
    assert concerned(policy("true", group=group, resource=resource), SERVED) == wanted
