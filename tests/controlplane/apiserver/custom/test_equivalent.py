"""Whoever is asked about a write by the rules of another version is shown that version, however it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import (
    CONFIG_MAP,
    MUTATING_ADMISSION_POLICY,
    MUTATING_ADMISSION_POLICY_BINDING,
    MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
    VALIDATING_WEBHOOK_CONFIGURATION,
    Kind,
)
from apimachinery.objects import Obj
from tests.controlplane.apiserver.admission.backend import Backend, add, backend, hook, patch
from tests.controlplane.apiserver.custom.definitions import GROUP, V1, boat, definition, of_type, version
from tests.controlplane.apiserver.custom.test_conversion import rigged
from tests.controlplane.apiserver.custom.test_served import established
from tests.controlplane.apiserver.server import DEADLINE, serving

_RIGGED = {"openAPIV3Schema": of_type({"spec": of_type({"rig": {"type": "string"}, "flag": {"type": "string"}})})}
_SAILING = of_type({"sail": {"type": "string"}, "crew": {"type": "integer"}, "flag": {"type": "string"}})
_OF_V2 = {"apiGroups": [GROUP], "apiVersions": ["v2"], "resources": ["boats"], "operations": ["CREATE", "UPDATE"]}
_FAILED = f"conversion webhook for {GROUP}/v1, Kind=Boat failed: no"
_LUG = add("/spec/rig", "lug")


def play(
    folder: Path, test: Callable[[Client, Backend, Backend], Awaitable[None]], by_webhook: bool = True, **newer: Any
) -> None:
    """test(client, what converts, what is asked about writes)."""

    async def main() -> None:
        (folder / "asked").mkdir()
        async with serving(folder) as client, backend(folder) as converts, backend(folder / "asked") as asked:
            converts.answer = rigged
            webhook = {"clientConfig": converts.config(), "conversionReviewVersions": ["v1"]}
            conversion = {"strategy": "Webhook", "webhook": webhook} if by_webhook else {"strategy": "None"}
            schema = {"openAPIV3Schema": of_type({"spec": _SAILING})}
            versions = version(schema=schema), version("v2", storage=False, schema=_RIGGED, **newer)
            await established(client, definition(*versions, conversion=conversion))
            await test(client, converts, asked)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


async def hooked(client: Client, kind: Kind, *hooks: Obj) -> None:
    await client.create(kind, {"metadata": {"name": "h"}, "webhooks": list(hooks)})


async def bound(client: Client, kinds: tuple[Kind, Kind], **spec: Any) -> None:
    policy, binding = kinds
    constraints = {"resourceRules": [_OF_V2], "matchPolicy": "Equivalent"}
    await client.create(policy, {"metadata": {"name": "p"}, "spec": {"matchConstraints": constraints, **spec}})
    actions = {"validationActions": ["Deny"]} if policy is VALIDATING_ADMISSION_POLICY else {}
    await client.create(binding, {"metadata": {"name": "b"}, "spec": {"policyName": "p", **actions}})


VALIDATING = VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING
MUTATING = MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING


def test_a_webhook_is_shown_what_another_webhook_makes_of_an_object(tmp_path: Path) -> None:
    async def test(client: Client, converts: Backend, asked: Backend) -> None:
        both = [hook(asked, name, rules=[_OF_V2]) for name in ("a.hook.test", "b.hook.test")]
        await hooked(client, VALIDATING_WEBHOOK_CONFIGURATION, *both)
        await client.create(V1, boat("a"))
        assert [(one["object"]["apiVersion"], one["object"]["spec"]) for one in asked.asked] == [
            (f"{GROUP}/v2", {"rig": "gaff"})
        ] * 2
        assert len(converts.asked) == 1, "for both at once"
        await client.patch(V1, "a", {"spec": {"sail": "lug"}}, "default")
        assert [one["oldObject"]["spec"] for one in asked.asked[2:]] == [{"rig": "gaff"}] * 2

    play(tmp_path, test)


def test_what_a_webhook_changes_is_converted_back(tmp_path: Path) -> None:
    async def test(client: Client, converts: Backend, asked: Backend) -> None:
        asked.answer = lambda request: patch(_LUG) if request["object"]["spec"]["rig"] == "gaff" else {"allowed": True}
        await hooked(client, MUTATING_WEBHOOK_CONFIGURATION, hook(asked, rules=[_OF_V2]))
        assert (await client.create(V1, boat("a")))["spec"]["sail"] == "lug"

    play(tmp_path, test)


def test_what_only_the_written_version_knows_outlives_a_change_in_another(tmp_path: Path) -> None:
    async def test(client: Client, converts: Backend, asked: Backend) -> None:
        asked.answer = lambda request: patch(add("/spec/flag", "red"), add("/spec/keel", "iron"))
        await hooked(client, MUTATING_WEBHOOK_CONFIGURATION, hook(asked, rules=[_OF_V2]))
        made = await client.create(V1, boat("a", crew=2))
        assert made["spec"] == {"sail": "gaff", "crew": 2, "flag": "red"}

    play(tmp_path, test, by_webhook=False)


def test_no_webhook_is_asked_about_what_cannot_be_converted(tmp_path: Path) -> None:
    async def test(client: Client, converts: Backend, asked: Backend) -> None:
        converts.answer = lambda request: {"result": {"status": "Failure", "message": "no"}}
        for kind in (VALIDATING_WEBHOOK_CONFIGURATION, MUTATING_WEBHOOK_CONFIGURATION):
            for policy in ("Fail", "Ignore"):
                await hooked(client, kind, hook(asked, rules=[_OF_V2], failurePolicy=policy))
                with pytest.raises(errors.InternalError) as refusal:
                    await client.create(V1, boat("a"))
                assert refusal.value.message == f"Internal error occurred: {_FAILED}" and not asked.asked
                await client.delete(kind, "h")

    play(tmp_path, test)


def test_a_policy_judges_what_a_webhook_makes_of_an_object(tmp_path: Path) -> None:
    async def test(client: Client, converts: Backend, asked: Backend) -> None:
        await bound(client, VALIDATING, validations=[{"expression": "object.spec.rig != 'lug'"}])
        with pytest.raises(errors.Invalid, match="failed expression: object.spec.rig != 'lug'"):
            await client.create(V1, boat("a", sail="lug"))
        await client.create(V1, boat("b"))
        converts.answer = lambda request: {"result": {"status": "Failure", "message": "no"}}
        with pytest.raises(errors.Invalid) as refusal:
            await client.create(V1, boat("c"))
        told = f"denied request: failed to configure binding: failed to convert object version: {_FAILED}"
        assert refusal.value.message.endswith(told)

    play(tmp_path, test)


def test_a_policy_changes_what_a_webhook_makes_of_an_object(tmp_path: Path) -> None:
    async def test(client: Client, converts: Backend, asked: Backend) -> None:
        made = "Object{spec: Object.spec{rig: 'lug'}}"
        mutations = [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": made}}]
        await bound(client, MUTATING, mutations=mutations, reinvocationPolicy="Never")
        assert (await client.create(V1, boat("a")))["spec"]["sail"] == "lug"
        converts.answer = lambda request: {"result": {"status": "Failure", "message": "no"}}
        with pytest.raises(errors.ApiError) as refusal:
            await client.create(V1, boat("c"))
        assert refusal.value.message.endswith(f'policy "p" denied request: failed to configure policy: {_FAILED}')

    play(tmp_path, test)


def test_parameters_are_read_in_the_version_that_a_policy_names(tmp_path: Path) -> None:
    async def test(client: Client, converts: Backend, asked: Backend) -> None:
        await client.create(V1, boat("a"))
        policy, binding = VALIDATING
        about = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
        spec = {
            "paramKind": {"apiVersion": f"{GROUP}/v2", "kind": "Boat"},
            "matchConstraints": {"resourceRules": [about]},
            "validations": [{"expression": "params.spec.rig == 'gaff'"}],
        }
        reference = {"name": "a", "namespace": "default", "parameterNotFoundAction": "Deny"}
        bound = {"policyName": "p", "paramRef": reference, "validationActions": ["Deny"]}
        await client.create(policy, {"metadata": {"name": "p"}, "spec": spec})
        await client.create(binding, {"metadata": {"name": "b"}, "spec": bound})
        await client.create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "default"}})
        await client.patch(V1, "a", {"spec": {"sail": "lug"}}, "default")
        with pytest.raises(errors.Invalid, match="failed expression: params.spec.rig == 'gaff'"):
            await client.create(CONFIG_MAP, {"metadata": {"name": "b", "namespace": "default"}})
        converts.answer = lambda request: {"result": {"status": "Failure", "message": "no"}}
        told = f"paramKind kind `{GROUP}/v2, Kind=Boat` not yet synced to use for admission"
        with pytest.raises(errors.Invalid, match=told):
            await client.create(CONFIG_MAP, {"metadata": {"name": "b", "namespace": "default"}})

    play(tmp_path, test)
