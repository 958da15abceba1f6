"""ValidatingAdmissionPolicies and webhooks' conditions on a whole server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from apimachinery.kit import metrics
from controlplane.apiserver.admission.policies import measures
from controlplane.apiserver.admission.policies.dispatch import Invocation
from controlplane.apiserver.admission.policies.judging import Denial
from controlplane.apiserver.admission.policies.mutating import MutatingAdmissionPolicy
from controlplane.apiserver.admission.policies.validating import ValidatingAdmissionPolicy, _Told
from controlplane.apiserver.admission_request import Admission
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
        before = _checked("deny"), _checked("allow")
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert (
            f"{DENIED}expression 'object.data.missing == 'b'' resulted in error: no such key: missing" in error.message
        )
        assert (_checked("deny"), _checked("allow")) == (before[0] + 1, before[1])
        await client.patch(POLICY, "p", {"spec": {"failurePolicy": "Ignore"}})
        await client.create(kinds.CONFIG_MAP, config("c"), "n")
        assert (_checked("deny"), _checked("allow")) == (before[0] + 1, before[1] + 1)

    play(tmp_path, test)


def _checked(action: str) -> float:
    """How often policy p's validations were not passed, by what was done about it."""
    labels = {"policy": "p", "policy_binding": "b", "error_type": "invalid_error", "enforcement_action": action}
    name = "apiserver_validating_admission_policy_check_total"
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def _mutated(sort: str) -> float:
    """The same of policy m's mutations, by what came of them."""
    labels = {"policy": "m", "policy_binding": "m", "error_type": sort}
    return metrics.REGISTRY.get_sample_value("apiserver_mutating_admission_policy_check_total", labels) or 0.0


@pytest.mark.parametrize(
    ("message", "sort"),
    [
        ("compilation error: no such field", "compile_error"),
        (
            "validation failed due to running out of cost budget, no further validation rules will be run",
            "out_of_budget",
        ),
        ("failed expression: false", "invalid_error"),
    ],
)
def test_errors_are_counted_by_sort(message: str, sort: str) -> None:
    assert measures.error_type(message) == sort


def test_the_first_denial_is_what_is_told_for_the_audit() -> None:
    plugin = ValidatingAdmissionPolicy.__new__(ValidatingAdmissionPolicy)
    binding = SimpleNamespace(name="b", actions=("Audit",))
    one = cast(Invocation, SimpleNamespace(policy=SimpleNamespace(name="p"), binding=binding))
    admission = cast(Admission, SimpleNamespace(annotations={}, warnings=[]))
    for index, text in enumerate(("first", "second")):
        plugin._act(one, Denial(text, index), admission, _Told())
    (told,) = json.loads(admission.annotations["validation.policy.admission.k8s.io/validation_failure"])
    assert (told["message"], told["expressionIndex"]) == ("first", 0)


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
        before = _checked("warn"), _checked("audit")
        status, told = await warned(tmp_path, client, "POST", "/api/v1/namespaces/n/configmaps", config("c"))
        assert status == 201
        text = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: false"
        assert [line for line in told if text in line]
        assert (_checked("warn"), _checked("audit")) == (before[0] + 1, before[1] + 1)

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


MUTATING, MUTATING_BINDING = kinds.MUTATING_ADMISSION_POLICY, kinds.MUTATING_ADMISSION_POLICY_BINDING
# A list that holds itself twice, again and again.
LARGE = "optional.of([1])" + ".optMap(l, [l, l])" * 60 + ".value()"
LONG = "optional.of('a')" + ".optMap(l, l + l)" * 18 + ".optMap(l, lists.range(1000).map(i, l)).value()"


async def bind_change(
    client: Client, *expressions: str, rule: dict[str, Any] = MAPS, name: str = "m", **spec: Any
) -> None:
    """A policy that changes ConfigMaps, and its binding; a list is a JSON patch, anything else a configuration."""
    mutations = [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": each}}
        if each.startswith("[")
        else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": each}}
        for each in expressions
    ]
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": mutations,
        **spec,
    }
    await client.create(MUTATING, {"metadata": {"name": name}, "spec": policy})
    await client.create(MUTATING_BINDING, {"metadata": {"name": name}, "spec": {"policyName": name}})


def test_configurations_are_laid_over_what_is_written(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await bind_change(
            client,
            "Object{metadata: Object.metadata{labels: {'made': object.metadata.name}}}",
            "Object{data: Object.data{seen: object.metadata.labels.made, team: variables.team}}",
            variables=[{"name": "team", "expression": "namespaceObject.metadata.labels.team"}],
        )
        made = await client.create(kinds.CONFIG_MAP, config("c", kept="yes"), "n")
        assert made["metadata"]["labels"] == {"kept": "yes", "made": "c"}
        assert made["data"] == {"a": "b", "seen": "c", "team": "red"}

    play(tmp_path, test)


def test_items_of_lists_are_merged_by_their_keys(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        rule = {**MAPS, "resources": ["pods"]}
        side = "Object.spec.containers{name: 'side', image: 'side:1'}"
        await bind_change(client, f"Object{{spec: Object.spec{{containers: [{side}]}}}}", rule=rule)
        spec = {"containers": [{"name": "main", "image": "main:1"}]}
        made = await client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": spec}, "n")
        assert {each["name"]: each["image"] for each in made["spec"]["containers"]} == {
            "main": "main:1",
            "side": "side:1",
        }
        # Defaults come to what a policy adds, too.
        assert made["spec"]["containers"][1]["terminationMessagePath"] == "/dev/termination-log"

    play(tmp_path, test)


def test_json_patches(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        key = "'/metadata/annotations'"
        await bind_change(
            client,
            f"[JSONPatch{{op: 'add', path: {key}, value: {{'a/b': 'c'}}}}]",
            "[JSONPatch{op: 'replace', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b'), value: 'd'}]",
            "[JSONPatch{op: 'test', path: '/data/a', value: 'x'}, JSONPatch{op: 'remove', path: '/data'}]",
        )
        made = await client.create(kinds.CONFIG_MAP, config("c"), "n")
        assert made["metadata"]["annotations"] == {"a/b": "d"} and made["data"] == {"a": "b"}

    play(tmp_path, test)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("Object{data: Object.data{a: object.data.missing}}", "resulted in error: no such key: missing"),
        (
            "Object{data: Object.wrong{a: 'b'}}",
            'type mismatch: unexpected type name "Object.wrong", expected "Object.data"',
        ),
        (
            "Object{foo: 1}",
            "error applying patch: failed to convert patch object to typed object: .foo: field not declared",
        ),
        ("[JSONPatch{op: 'remove', path: '/a/b/c'}]", "JSON Patch: "),
        (f"Object{{data: Object.data{{a: {LARGE}}}}}", "actual cost limit exceeded"),
        (f"[JSONPatch{{op: 'add', path: '/data/b', value: {LARGE}}}]", "actual cost limit exceeded"),
        (f"Object{{data: Object.data{{a: {LONG}}}}}", "actual cost limit exceeded"),
        (f"Object{{data: Object.data{{a: {'[' * 210}1{']' * 210}}}}}", "value is nested too deeply"),
    ],
)
def test_changes_that_cannot_be_made_deny(tmp_path: Path, expression: str, message: str) -> None:
    async def test(client: Client) -> None:
        await bind_change(client, expression)
        sorts = ("no_error", "compile_error", "invalid_error")
        before = [_mutated(sort) for sort in sorts]
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert (error.status_code, error.reason) == (403, "Invalid")
        assert error.message.startswith("policy 'm' with binding 'm' denied request: ") and message in error.message
        assert [_mutated(sort) for sort in sorts] == [before[0], before[1], before[2] + 1]
        await client.patch(MUTATING, "m", {"spec": {"failurePolicy": "Ignore"}})
        assert (await client.create(kinds.CONFIG_MAP, config("c"), "n"))["data"] == {"a": "b"}

    play(tmp_path, test)


def test_a_change_that_is_cut_short_is_not_counted_as_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def changed(*_given: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def test(client: Client) -> None:
        await bind_change(client, "Object{data: Object.data{a: 'c'}}")
        before = [_mutated(sort) for sort in ("no_error", "invalid_error")]
        monkeypatch.setattr(MutatingAdmissionPolicy, "_changed", changed)
        with pytest.raises(errors.Unreachable):
            await client.create(kinds.CONFIG_MAP, config("c"), "n")
        assert [_mutated(sort) for sort in ("no_error", "invalid_error")] == [before[0], before[1] + 1]

    play(tmp_path, test)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("op: 'add', path: '/nope', value: 'c'", 'strict decoding error: unknown field "nope"'),
        (
            "op: 'add', path: '/data/b', value: 1",
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
    ],
)
def test_what_operations_make_is_read_strictly(tmp_path: Path, operation: str, why: str) -> None:
    async def test(client: Client) -> None:
        await bind_change(client, f"[JSONPatch{{{operation}}}]")
        error = await refused(client.create(kinds.CONFIG_MAP, config("c"), "n"))
        assert (error.status_code, error.message) == (500, f"Internal error occurred: {why}")

    play(tmp_path, test)


def test_parts_that_are_owned_as_a_whole_cannot_be_configured(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        rule = {**MAPS, "resources": ["services"]}
        made = "Object{spec: Object.spec{selector: Object.spec.selector{a: 'b'}}}"
        await bind_change(client, made, rule=rule)
        service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}
        error = await refused(client.create(kinds.SERVICE, service, "n"))
        why = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector"
        assert error.message.endswith(f"denied request: error applying patch: {why}")

    play(tmp_path, test)


def test_policies_are_asked_again_after_others_changed_something(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        count = "Object{data: Object.data{count: string(object.data.size())}}"
        await bind_change(client, count, name="a", reinvocationPolicy="IfNeeded")
        await bind_change(client, "Object{data: Object.data{more: 'yes'}}", name="b")
        made = await client.create(kinds.CONFIG_MAP, config("c"), "n")
        # "a" counts one entry, adds its own, and counts once more when "b" has added another.
        assert made["data"] == {"a": "b", "count": "3", "more": "yes"}

    play(tmp_path, test)
