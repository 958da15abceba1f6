"""ValidatingAdmissionPolicies and webhooks' conditions on a whole server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from tests.controlplane.apiserver.admission.backend import backend, hook
from tests.controlplane.apiserver.admission.test_webhooks import change, config, guard, refused, warned
from tests.controlplane.apiserver.server import DEADLINE, serving

POLICY, BINDING = kinds.VALIDATING_ADMISSION_POLICY, kinds.VALIDATING_ADMISSION_POLICY_BINDING
MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}


def play(folder: Path, test: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(folder) as client:
            await client.create(kinds.NAMESPACE, {"metadata": {"name": "n", "labels": {"team": "red"}}})
            await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "n")
            await test(client)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


async def bind(
    client: Client, *validations: str | dict[str, Any], actions: tuple[str, ...] = ("Deny",), **spec: Any
) -> None:
    """A policy "p" about ConfigMaps and its binding "b". spec: of the policy; binding: more of the binding's."""
    binding = spec.pop("binding", {})
    judged = [{"expression": each} if isinstance(each, str) else each for each in validations]
    constraints = {"resourceRules": [MAPS]}
    policy = {
        "matchConstraints": constraints,
        "failurePolicy": "Fail",
        **({"validations": judged} if judged else {}),
        **spec,
    }
    await client.create(POLICY, {"metadata": {"name": "p"}, "spec": policy})
    await client.create(
        BINDING,
        {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": list(actions), **binding}},
    )


DENIED = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


def test_a_denial_says_which_policy_and_why(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await bind(client, "object.data.a != 'b'", {"expression": "object.metadata.name != 'x'", "reason": "Forbidden"})
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        message = f"{DENIED}failed expression: object.data.a != 'b'"
        assert (error.status_code, error.reason) == (422, "Invalid")
        assert error.message == f'configmaps "c" is forbidden: {message}'
        assert (error.details or {})["causes"] == [{"message": message}]
        error = await refused(client.create(kinds.CONFIG_MAP, {**config("x"), "data": {"a": "z"}}, "n"))
        assert (error.status_code, error.reason) == (403, "Forbidden")
        await client.create(kinds.CONFIG_MAP, {**config("c"), "data": {"a": "z"}}, "n")

    play(tmp_path, test)


@pytest.mark.parametrize(
    ("expression", "passes"),
    [
        ("request.operation == 'CREATE' && request.namespace == 'n' && request.name == 'c'", True),
        ("request.userInfo.username == 'kubernetes-admin' || 'system:masters' in request.userInfo.groups", True),
        ("namespaceObject.metadata.labels.team == 'red'", True),
        ("oldObject == null && object != null", True),
        ("authorizer.group('').resource('pods').namespace('n').check('get').allowed()", True),
        ("authorizer.requestResource.check('create').allowed()", True),
        ("authorizer.serviceAccount('n', 'default').group('').resource('pods').check('get').allowed()", False),
        ("authorizer.path('/healthz').check('get').allowed()", True),
        ("variables.name == 'c' && variables.twice == 'cc'", True),
        ("has(object.data.missing)", False),
    ],
)
def test_what_an_expression_sees(tmp_path: Path, expression: str, passes: bool) -> None:
    async def test(client: Client) -> None:
        variables = [
            {"name": "name", "expression": "object.metadata.name"},
            {"name": "twice", "expression": "variables.name + variables.name"},
        ]
        await bind(client, expression, variables=variables)
        if passes:
            await client.create(kinds.CONFIG_MAP, config("c"), "n")
        else:
            await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))

    play(tmp_path, test)


def test_what_has_no_value_is_a_denial_unless_the_policy_fails_open(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await bind(client, "object.data.missing == 'b'")
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert (
            f"{DENIED}expression 'object.data.missing == 'b'' resulted in error: no such key: missing" in error.message
        )
        await client.patch(POLICY, "p", {"spec": {"failurePolicy": "Ignore"}})
        await client.create(kinds.CONFIG_MAP, config("c"), "n")

    play(tmp_path, test)


def test_expensive_expressions_end_and_nobody_waits_for_them(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        numbers = "lists.range(1000)"
        await bind(client, f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, true)))")
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert error.message.endswith("resulted in error: operation cancelled: actual cost limit exceeded")

    play(tmp_path, test)


def test_messages_come_from_the_expression_the_text_or_the_rule(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        judged = {
            "expression": "false",
            "message": " written ",
            "messageExpression": "'made of ' + object.metadata.name",
        }
        await bind(client, judged)
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert error.message.endswith(f"{DENIED}made of c")
        judged["messageExpression"] = "object.missing"
        with pytest.raises(errors.Invalid):
            await client.patch(POLICY, "p", {"spec": {"validations": [judged]}})
        judged["messageExpression"] = "string(object.missing)"
        await client.patch(POLICY, "p", {"spec": {"validations": [judged]}})
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert error.message.endswith(f"{DENIED}written")

    play(tmp_path, test)


def test_warnings_are_told_and_nothing_is_refused(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await bind(client, "false", actions=("Warn", "Audit"))
        status, told = await warned(tmp_path, client, "POST", "/api/v1/namespaces/n/configmaps", config("c"))
        assert status == 201
        text = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: false"
        assert [line for line in told if text in line]

    play(tmp_path, test)


def test_parameters_are_found_by_name_and_by_label(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        limits = {"metadata": {"name": "limits", "labels": {"is": "limit"}}, "data": {"most": "1"}}
        await bind(
            client,
            {
                "expression": "object.data.size() <= int(params.data.most)",
                "messageExpression": "'most: ' + params.data.most",
            },
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
            matchConditions=[{"name": "no-limits", "expression": "object.metadata.name != 'limits'"}],
            binding={"paramRef": {"name": "limits", "namespace": "n", "parameterNotFoundAction": "Deny"}},
        )
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        assert error.message.endswith(DENIED + why)
        await client.delete(BINDING, "b")
        await client.create(kinds.CONFIG_MAP, limits, "n")
        reference = {"selector": {"matchLabels": {"is": "limit"}}, "parameterNotFoundAction": "Allow"}
        spec = {"policyName": "p", "validationActions": ["Deny"], "paramRef": reference}
        await client.create(BINDING, {"metadata": {"name": "b"}, "spec": spec})
        await client.create(kinds.CONFIG_MAP, config("c"), "n")
        error = await refused(client.create(kinds.CONFIG_MAP, {**config("d"), "data": {"a": "", "b": ""}}, "n"))
        assert error.message.endswith(f"{DENIED}most: 1")

    play(tmp_path, test)


def test_a_kind_of_parameters_that_is_not_served_denies(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        reference = {"name": "a", "parameterNotFoundAction": "Deny"}
        await bind(client, "true", paramKind={"apiVersion": "a.b/v1", "kind": "Limit"}, binding={"paramRef": reference})
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert error.message.endswith(
            "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource "
            "referenced by paramKind: 'a.b/v1, Kind=Limit'"
        )

    play(tmp_path, test)


def test_policies_are_about_what_they_match(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        constraints = {
            "resourceRules": [MAPS],
            "excludeResourceRules": [{**MAPS, "resourceNames": ["free"]}],
            "objectSelector": {"matchLabels": {"judged": "yes"}},
        }
        selector = {"namespaceSelector": {"matchLabels": {"team": "red"}}}
        await bind(client, "false", matchConstraints=constraints, binding={"matchResources": selector})
        await client.create(kinds.CONFIG_MAP, config("c"), "n")
        await client.create(kinds.CONFIG_MAP, config("free", judged="yes"), "n")
        await client.create(kinds.CONFIG_MAP, config("c", judged="yes"), "default")
        await refused(client.create(kinds.CONFIG_MAP, config("d", judged="yes"), "n"))
        await client.create(kinds.SECRET, {"metadata": {"name": "s", "labels": {"judged": "yes"}}}, "n")

    play(tmp_path, test)


def test_webhooks_are_asked_where_their_conditions_hold(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as client, backend(tmp_path) as made:
            await client.create(kinds.NAMESPACE, {"metadata": {"name": "n"}})
            named = [{"name": "named", "expression": "object.metadata.name.startsWith('c')"}]
            await guard(client, hook(made, matchConditions=named))
            await client.create(kinds.CONFIG_MAP, config("d"), "n")
            assert not made.asked
            await client.create(kinds.CONFIG_MAP, config("c"), "n")
            assert len(made.asked) == 1
            broken = [{"name": "broken", "expression": "object.missing == 1"}]
            await change(client, hook(made, matchConditions=broken))
            error = await refused(client.create(kinds.CONFIG_MAP, config("c2"), "n"))
            assert error.status_code == 403
            why = "expression 'object.missing == 1' resulted in error: no such key: missing"
            assert error.message == f'configmaps "c2" is forbidden: {why}'

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_who_may_not_read_parameters_makes_none_count(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        rules = [{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}]
        await client.create(kinds.CLUSTER_ROLE, {"metadata": {"name": "policies"}, "rules": rules})
        subject = {"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}
        reference = {"kind": "ClusterRole", "name": "policies", "apiGroup": "rbac.authorization.k8s.io"}
        await client.create(
            kinds.CLUSTER_ROLE_BINDING, {"metadata": {"name": "eve"}, "subjects": [subject], "roleRef": reference}
        )
        spec = {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [MAPS]},
            "validations": [{"expression": "true"}],
            "paramKind": {"apiVersion": "v1", "kind": "Secret"},
        }
        body = {"apiVersion": POLICY.api_version, "kind": POLICY.kind, "metadata": {"name": "p"}, "spec": spec}
        headers = {"Impersonate-User": "eve"}
        error = await refused(client.request("POST", POLICY.path(), body=body, headers=headers))
        assert error.status_code == 422 and "spec.paramKind: Forbidden: user &{eve" in error.message
        assert (
            '"get" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)' in error.message
        )

    play(tmp_path, test)
