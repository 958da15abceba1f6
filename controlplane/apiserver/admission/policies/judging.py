"""What the expressions of a ValidatingAdmissionPolicy say of one request. Words: upstream's. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.admission.policies.definitions import Policy
from controlplane.apiserver.expressions.compiling import ANNOTATION, CONDITION, MESSAGE
from controlplane.apiserver.expressions.evaluating import Failed, Naming, OutOfBudget, Purse, value

_LONGEST_MESSAGE = 5 * 1024


@dataclass(frozen=True)
class Denial:
    """A validation that a request does not pass, or that has no value. index: its place in the policy."""

    message: str
    index: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Annotation:
    """A value for the audit log, or why there is none."""

    key: str
    value: str = ""
    wrong: str = ""


def validations(policy: Policy, naming: Naming, purse: Purse) -> list[Denial]:
    """What is denied. Raises OutOfBudget."""
    found: list[Denial] = []
    # Upstream binds the authorizer to match conditions and validations alone.
    names = naming.within(purse)
    quiet = naming.without("authorizer", "authorizer.requestResource")
    for index, validation in enumerate(policy.spec.get("validations") or ()):
        try:
            if value(validation["expression"], policy.scope, CONDITION, names, purse) is True:
                continue
        except Failed as error:
            if not policy.fails_open:
                found.append(Denial(str(error), index))
            continue
        try:
            message = _message(validation, policy, quiet, purse)
        except OutOfBudget as error:
            if not policy.fails_open:
                found.append(Denial(f"failed messageExpression: {error}", index))
            continue
        found.append(Denial(message, index, validation.get("reason") or "Invalid"))
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


def notes(policy: Policy, naming: Naming, purse: Purse) -> list[Annotation]:
    """What goes to the audit log. Raises OutOfBudget."""
    return list(_annotations(policy, naming.without("authorizer", "authorizer.requestResource"), purse))


def _annotations(policy: Policy, naming: Naming, purse: Purse) -> Iterator[Annotation]:
    names = naming.within(purse)
    for annotation in policy.spec.get("auditAnnotations") or ():
        try:
            told = value(annotation["valueExpression"].strip(), policy.scope, ANNOTATION, names, purse)
        except Failed as error:
            if not policy.fails_open:
                yield Annotation(annotation["key"], wrong=str(error))
            continue
        if isinstance(told, str) and told.strip():
            yield Annotation(annotation["key"], told.strip())
