"""ValidatingAdmissionPolicy."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from apimachinery.kinds import VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING, Kind
from controlplane.apiserver.admission.plugin import Wait
from controlplane.apiserver.admission.policies import measures
from controlplane.apiserver.admission.policies.conditions import Unclear, hold
from controlplane.apiserver.admission.policies.definitions import Binding, Policy
from controlplane.apiserver.admission.policies.dispatch import Invocation, PolicyPlugin, refusal
from controlplane.apiserver.admission.policies.judging import Annotation, Denial, notes, validations
from controlplane.apiserver.admission.policies.naming import Asked
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.expressions.evaluating import POLICY_COST, OutOfBudget, evaluated

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
_AUDIT = "validation.policy.admission.k8s.io/validation_failure"
_LONGEST_ANNOTATION = 10 * 1024


@dataclass
class _Told:
    """What the policies say of one request."""

    denied: list[tuple[str, str]] = field(default_factory=list)
    """(message, reason)"""
    annotations: dict[str, list[str]] = field(default_factory=dict)


class ValidatingAdmissionPolicy(PolicyPlugin):
    name = "ValidatingAdmissionPolicy"
    policies = VALIDATING_ADMISSION_POLICY
    bindings = VALIDATING_ADMISSION_POLICY_BINDING

    def validate(self, admission: Admission) -> Wait:
        return self._judge(admission) if self._bound(admission) else None

    async def _judge(self, admission: Admission) -> None:
        """Raises the first denial."""
        asked, told = self._asked(admission), _Told()
        async for one in self._invocations(asked):
            if one.wrong:
                if not one.policy.fails_open:
                    told.denied.append((_denied(one, one.wrong), ""))
                continue
            denials, noted = await self._evaluated(one, asked)
            for denial in denials:
                self._act(one, denial, admission, told)
            for note in noted:
                _note(one, note, told)
        for key, values in told.annotations.items():
            admission.annotations[key] = ", ".join(values)
        if told.denied:
            message, reason = told.denied[0]
            reason = reason or "Invalid"
            error = refusal(admission, [message], message, reason, _CODES.get(reason, 422))
            raise error

    async def _evaluated(self, one: Invocation, asked: Asked) -> tuple[list[Denial], list[Annotation]]:
        """What a policy denies and notes with one of its parameters."""
        policy, naming = one.policy, await self._naming(one, asked)
        clock, begun = time.perf_counter, time.perf_counter()
        conditions = policy.spec.get("matchConditions") or ()
        try:
            if conditions:
                # Conditions are not told the namespace.
                bare = naming.with_values(namespaceObject=None)
                if not await hold(conditions, policy.scope, bare, asked, policy.fails_open):
                    return [], []
            denials = await evaluated(
                lambda purse: validations(policy, naming, purse, clock), POLICY_COST, asked.answers, asked.ask
            )
            noted = await evaluated(
                lambda purse: notes(policy, naming, purse, clock), POLICY_COST, asked.answers, asked.ask
            )
        except (Unclear, OutOfBudget) as error:
            return [Denial(str(error), ignored=policy.fails_open, seconds=clock() - begun)], []
        return denials, noted

    def _unseen(self, policy: Policy, binding: Binding, kind: Kind, why: str) -> Invocation:
        told = f"failed to configure binding: failed to convert object version: {why}"
        return Invocation(policy, binding, kind, wrong=told)

    def _act(self, one: Invocation, denial: Denial, admission: Admission, told: _Told) -> None:
        """What a binding wants to be done about a denial."""
        policy, binding = one.policy, one.binding
        assert binding is not None
        if denial.ignored:
            measures.checked(policy.name, binding.name, denial.message, measures.ALLOW, denial.seconds)
            return
        for action in binding.actions:
            measures.checked(policy.name, binding.name, denial.message, action.lower(), denial.seconds)
            if action == "Deny":
                told.denied.append((_denied(one, denial.message), denial.reason))
            elif action == "Warn":
                admission.warnings.append(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}': "
                    f"{denial.message}"
                )
            elif action == "Audit":
                failure = {
                    "message": denial.message,
                    "policy": policy.name,
                    "binding": binding.name,
                    "expressionIndex": denial.index,
                    "validationActions": list(binding.actions),
                }
                # The first stays: what is told for the log is not told otherwise later.
                admission.annotations.setdefault(_AUDIT, json.dumps([failure], separators=(",", ":")))


def _denied(one: Invocation, message: str) -> str:
    bound = f" with binding '{one.binding.name}'" if one.binding is not None else ""
    return f"ValidatingAdmissionPolicy '{one.policy.name}'{bound} denied request: {message}"


def _note(one: Invocation, note: Annotation, told: _Told) -> None:
    """A value for the audit log; what has none is a denial, whatever the binding does about denials."""
    if note.wrong:
        if one.binding is not None:
            measures.checked(one.policy.name, one.binding.name, note.wrong, measures.DENY, note.seconds)
        told.denied.append((_denied(one, note.wrong), ""))
        return
    value = note.value.encode()[:_LONGEST_ANNOTATION].decode(errors="ignore")
    values = told.annotations.setdefault(f"{one.policy.name}/{note.key}", [])
    if value not in values:
        values.append(value)
