"""What a mutation of a MutatingAdmissionPolicy makes of an object. Words: upstream's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from apimachinery import errors, patch
from apimachinery.apply.overlay import Unmergeable, overlay
from apimachinery.cel.values.faults import CostExceeded, EvaluationError
from apimachinery.cel.values.json import to_json
from apimachinery.cel.values.kinds import Count, Instance, type_name, value_type
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, copy
from apimachinery.schema import Node
from controlplane.apiserver.admission.policies.definitions import Policy, with_patches
from controlplane.apiserver.expressions.compiling import APPLIED, PATCHES
from controlplane.apiserver.expressions.evaluating import Naming, Purse, value

# So many wrong names are told.
_MOST_TOLD = 100


class Unpatched(Exception):
    """A mutation that cannot be made; the text is upstream's."""


def made(mutation: Obj, policy: Policy, naming: Naming, purse: Purse) -> Any:
    """What a mutation's expression makes: a configuration, or operations. Raises Failed, OutOfBudget, Unpatched."""
    scope, names = with_patches(policy.scope), naming.within(purse)
    field, wanted = ("jsonPatch", PATCHES) if mutation["patchType"] == "JSONPatch" else ("applyConfiguration", APPLIED)
    given = value(mutation[field]["expression"], scope, wanted, names, purse)
    budget = purse.budget()
    try:
        if isinstance(given, list):
            return [_operation(budget.work, each) for each in given]
        return _json(budget.work, _object(given))
    except (EvaluationError, CostExceeded) as error:
        raise Unpatched(str(error)) from error
    finally:
        purse.pay(budget)


def patched(live: Obj, given: Any, kind: Kind, node: Node | None) -> Obj:
    """An object with what a mutation made of it. Raises Unpatched, ServiceUnavailable."""
    if isinstance(given, list):
        return _with_operations(live, given)
    if node is None:
        raise errors.ServiceUnavailable(
            f"Resource kind {kind.group}/{kind.version}, Kind={kind.kind} not found. There can be a delay between when "
            "CustomResourceDefinitions are created and when they are available."
        )
    try:
        return overlay(live, {**given, "apiVersion": kind.api_version, "kind": kind.kind}, node)
    except Unmergeable as error:
        raise Unpatched(f"error applying patch: {error}") from error


def _with_operations(live: Obj, operations: list[Obj]) -> Obj:
    try:
        return dict(patch.json_patch(copy(live), operations))
    except patch.Untrue:
        # An operation that tests says whether the others are wanted.
        return live
    except errors.ApiError as error:
        raise Unpatched(f"JSON Patch: {error.message}") from error


def _object(given: Any) -> Instance:
    """What is known as `dyn` while it is checked can turn out to be anything."""
    if not isinstance(given, Instance):
        raise EvaluationError(f"unexpected type {type_name(value_type(given))}")
    return given


def _operation(count: Count, given: Any) -> Obj:
    fields = _object(given).fields
    made: Obj = {"op": fields.get("op", ""), "path": fields.get("path", "")}
    if fields.get("from"):
        made["from"] = fields["from"]
    if "value" in fields:
        made["value"] = _json(count, fields["value"])
    return made


def _json(count: Count, given: Any) -> Any:
    """Names are looked at last: only what could be written is known to end."""
    made = to_json(count, given)
    if isinstance(given, Instance):
        _check_names(given)
    return made


def _check_names(given: Instance) -> None:
    """An object's type is named after the way to it: `Object.spec` is what lies in `spec` of `Object`."""
    wrong = list(itertools.islice(_misnamed(given, given.cel_type.name), _MOST_TOLD))
    if wrong:
        raise Unpatched("type mismatch: " + "\n".join(wrong))


def _misnamed(given: Any, expected: str) -> Iterator[str]:
    if isinstance(given, Instance):
        found = given.cel_type.name
        if found != expected:
            yield (
                f'unexpected type name "{found}", expected "{expected}", which matches field name path from root '
                "Object type"
            )
        for name, inner in given.fields.items():
            yield from _misnamed(inner, f"{expected}.{name}")
    elif isinstance(given, list):
        for inner in given:
            yield from _misnamed(inner, expected)
    elif isinstance(given, dict):
        for inner in given.values():
            yield from _misnamed(inner, expected)
