"""MutatingAdmissionPolicy."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from apimachinery import errors
from apimachinery.kinds import MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING, Kind
from apimachinery.objects import Obj, copy
from controlplane.apiserver.admission.plugin import Wait
from controlplane.apiserver.admission.policies import measures
from controlplane.apiserver.admission.policies.conditions import Unclear, hold
from controlplane.apiserver.admission.policies.definitions import Binding, Policy
from controlplane.apiserver.admission.policies.dispatch import Invocation, PolicyPlugin, refusal
from controlplane.apiserver.admission.policies.naming import Asked
from controlplane.apiserver.admission.policies.patching import Unpatched, made, patched
from controlplane.apiserver.admission.showing import seen
from controlplane.apiserver.admission.taking import take_over
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.expressions.evaluating import POLICY_COST, Failed, Naming, OutOfBudget, evaluated

# A policy with one of its parameters: (policy, binding, namespace and name of the parameters).
_Key = tuple[str, str, str, str]


@dataclass
class _Memory:
    """What a request's policies have done: who may be asked again, who has to, and what they left."""

    invoked: set[_Key] = field(default_factory=set)
    again: set[_Key] = field(default_factory=set)
    left: Obj | None = None

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked.clear()


class MutatingAdmissionPolicy(PolicyPlugin):
    name = "MutatingAdmissionPolicy"
    policies = MUTATING_ADMISSION_POLICY
    bindings = MUTATING_ADMISSION_POLICY_BINDING

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return operation != "DELETE" and super().concerns(kind, subresource, operation)

    def admit(self, admission: Admission) -> Wait:
        return self._in_turn(admission) if self._bound(admission) else None

    async def _in_turn(self, admission: Admission) -> None:
        memory = admission.memory.setdefault(self.name, _Memory())
        assert isinstance(memory, _Memory)
        asked = self._asked(admission)
        # Who is about the request is told before anybody changes it.
        found = [one async for one in self._invocations(asked)]
        if admission.again and admission.obj != memory.left:
            memory.changed()
        wrong = [_denied(one, one.wrong) for one in found if one.wrong and not one.policy.fails_open]
        for one in found:
            if not one.wrong:
                wrong += [_denied(one, text) for text in await self._invoked(one, asked, memory)]
        memory.left = copy(admission.obj) if admission.obj is not None else None
        if wrong:
            error = refusal(admission, wrong, wrong[0], "Invalid", 403)
            error.message = wrong[0]
            raise error

    async def _invoked(self, one: Invocation, asked: Asked, memory: _Memory) -> list[str]:
        """Why a policy fails, where that counts."""
        policy, admission = one.policy, asked.admission
        conditions = policy.spec.get("matchConditions") or ()
        try:
            bare = (await self._naming(one, asked)).with_values(namespaceObject=None)
            if conditions and not await hold(conditions, policy.scope, bare, asked, policy.fails_open):
                return []
        except Unclear as error:
            return [str(error)]
        key = _key(one)
        if admission.again and key not in memory.again:
            return []
        wrong: list[str] = []
        before = copy(admission.obj) if admission.obj is not None else None
        for mutation in policy.spec.get("mutations") or () if admission.obj is not None else ():
            failure: str | None = "cut short"
            begun = time.perf_counter()
            try:
                await self._changed(one, mutation, asked)
                failure = None
            except (Failed, OutOfBudget, Unpatched) as error:
                failure = str(error)
                wrong.append(failure)
            except errors.ApiError as error:
                failure = error.message
                raise
            finally:
                measures.mutated(policy.name, key[1], failure, time.perf_counter() - begun)
        if admission.obj != before:
            memory.changed()
            admission.changed = admission.reinvoke = True
        if policy.spec.get("reinvocationPolicy") == "IfNeeded":
            memory.invoked.add(key)
        return [] if policy.fails_open else wrong

    def _unseen(self, policy: Policy, binding: Binding, kind: Kind, why: str) -> Invocation:
        return Invocation(policy, None, kind, wrong=f"failed to configure policy: {why}")

    async def _changed(self, one: Invocation, mutation: Obj, asked: Asked) -> None:
        """Make one mutation. Raises Failed, OutOfBudget, Unpatched, ApiError."""
        policy, admission, catalog = one.policy, asked.admission, self.registry.catalog
        naming: Naming = await self._naming(one, asked)
        given: Any = await evaluated(
            lambda purse: made(mutation, policy, naming, purse), POLICY_COST, asked.answers, asked.ask
        )
        shown = await seen(admission, admission.obj, one.kind, catalog) or {}
        version, kind = shown.get("apiVersion") or one.kind.api_version, shown.get("kind") or one.kind.kind
        new = patched(copy(shown), given, one.kind, catalog.schema.node(version, kind))
        if new != shown:
            # What operations make is read anew.
            await take_over(self.registry, one.kind, admission, new, strict=isinstance(given, list))


def _key(one: Invocation) -> _Key:
    metadata = (one.params or {}).get("metadata") or {}
    binding = one.binding.name if one.binding is not None else ""
    return one.policy.name, binding, metadata.get("namespace") or "", metadata.get("name") or ""


def _denied(one: Invocation, message: str) -> str:
    if one.binding is None:
        return f'policy "{one.policy.name}" denied request: {message}'
    return f"policy '{one.policy.name}' with binding '{one.binding.name}' denied request: {message}"
