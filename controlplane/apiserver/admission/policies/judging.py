"""What the expressions of a ValidatingAdmissionPolicy say of one request. Words: upstream's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.admission.policies.definitions import Policy
from controlplane.apiserver.expressions.compiling import ANNOTATION, CONDITION, MESSAGE
from controlplane.apiserver.expressions.evaluating import Failed, Naming, OutOfBudget, Purse, value

_LONGEST_MESSAGE = 5 * 1024


@dataclass(frozen=True)
class Denial:
    """A validation that a request does not pass, or that has no value. index: its place in the policy; ignored: it is
    let pass all the same, since the policy fails open; seconds: how long it took.
    """

    message: str
    index: int = 0
    reason: str = ""
    ignored: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Annotation:
    """A value for the audit log, or why there is none."""

    key: str
    value: str = ""
    wrong: str = ""
    seconds: float = 0.0


Clock = Callable[[], float]


def validations(policy: Policy, naming: Naming, purse: Purse, clock: Clock) -> list[Denial]:
    """What is denied, or would be if the policy did not fail open. clock: seconds. Raises OutOfBudget."""
    found: list[Denial] = []
    # Upstream binds the authorizer to match conditions and validations alone.
    names = naming.within(purse)
    quiet = naming.without("authorizer", "authorizer.requestResource")
    for index, validation in enumerate(policy.spec.get("validations") or ()):
        begun = clock()
        try:
            if value(validation["expression"], policy.scope, CONDITION, names, purse) is True:
                continue
        except Failed as error:
            found.append(Denial(str(error), index, "", policy.fails_open, clock() - begun))
            continue
        try:
            message = _message(validation, policy, quiet, purse)
        except OutOfBudget as error:
            text = f"failed messageExpression: {error}"
            found.append(Denial(text, index, "", policy.fails_open, clock() - begun))
            continue
        found.append(Denial(message, index, validation.get("reason") or "Invalid", False, clock() - begun))
    return found


def _message(validation: Obj, policy: Policy, naming: Naming, purse: Purse) -> str:
    expression = validation.get("messageExpression") or ""
    if expression:
        scope = replace(policy.scope, authorizer=False)
        try:
            told: Any = value(expression, scope, MESSAGE, naming.within(purse), purse)
        except Failed:
            told = ""
        told = told.strip() if isinstance(told, str) else ""
        if told and "\n" not in told and len(told.encode()) <= _LONGEST_MESSAGE:
            return str(told)
    written = (validation.get("message") or "").strip()
    return written or f"failed expression: {validation['expression'].strip()}"


def notes(policy: Policy, naming: Naming, purse: Purse, clock: Clock) -> list[Annotation]:
    """What goes to the audit log. clock: seconds. Raises OutOfBudget."""
    return list(_annotations(policy, naming.without("authorizer", "authorizer.requestResource"), purse, clock))


def _annotations(policy: Policy, naming: Naming, purse: Purse, clock: Clock) -> Iterator[Annotation]:
    names = naming.within(purse)
    for annotation in policy.spec.get("auditAnnotations") or ():
        begun = clock()
        try:
            told = value(annotation["valueExpression"].strip(), policy.scope, ANNOTATION, names, purse)
        except Failed as error:
            if not policy.fails_open:
                yield Annotation(annotation["key"], wrong=str(error), seconds=clock() - begun)
            continue
        if isinstance(told, str) and told.strip():
            yield Annotation(annotation["key"], told.strip())
