"""What a webhook or policy is about: rules of resources and operations, and conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apimachinery import errors, formats
from apimachinery.cel.types.kinds import Type
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.expressions.compiling import CONDITION, Scope, Unfit, compiled
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.words import at_most, distinct, enum, forms, hook, name, required, unique, when

MATCH_POLICIES = ("Equivalent", "Exact")
FAILURE_POLICIES = ("Fail", "Ignore")
REINVOCATION = ("IfNeeded", "Never")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
# Nothing is left to change in what is deleted.
_MUTATING = ("*", "CONNECT", "CREATE", "UPDATE")


def said(field: str) -> Callable[[Obj, Place], Iterator[FieldError]]:
    """A text that says something."""

    def check(value: Obj, at: Place) -> Iterator[FieldError]:
        if not (value.get(field) or "").strip():
            yield errors.required(at.to(field))

    return check


def _condition(condition: Obj, at: Place) -> Iterator[FieldError]:
    """A condition names no variables of its policy: they do not exist yet when it is looked at."""
    scope = Scope(params=bool((at.about.new.get("spec") or {}).get("paramKind")))
    text = (condition.get("expression") or "").strip()
    if not text:
        yield errors.required(at.to("expression"))
    else:
        yield from unfit(at.to("expression"), text, scope, CONDITION)


def unfit(path: str, text: str, scope: Scope, wanted: tuple[Type, ...], shown: str = "") -> Iterator[FieldError]:
    """What keeps an expression from being what it should be. shown: how messages show it, where not as it is."""
    try:
        compiled(text, scope, wanted)
    except Unfit as refused:
        yield of_unfit(path, shown or text, refused)


def of_unfit(path: str, text: str, refused: Unfit) -> FieldError:
    """The complaint about an expression that is not what it should be."""
    return errors.internal(path, str(refused)) if refused.internal else errors.invalid(path, text, str(refused))


def _conditions_change(value: Obj, at: Place) -> bool:
    """Those of a stored object are not looked at again: they may have been written for another version."""
    new, old = at.about.new, at.about.old
    return old is None or _conditions(new) != _conditions(old)


def _conditions(whole: Obj) -> list[object]:
    if "webhooks" in whole:
        return [hook.get("matchConditions") or [] for hook in whole["webhooks"] or ()]
    spec = whole.get("spec") or {}
    return [spec.get("paramKind"), spec.get("matchConditions") or []]


def _everything_alone(field: str, what: str) -> Callable[[Obj, Place], Iterator[FieldError]]:
    """Beside "*" there is nothing left to say."""

    def check(rule: Obj, at: Place) -> Iterator[FieldError]:
        listed = rule[field] or []
        if len(listed) > 1 and "*" in listed:
            yield errors.invalid(at.to(field), listed, f"if '*' is present, must not specify other {what}")

    return check


def _operations(rule: Obj, at: Place) -> Iterator[FieldError]:
    for index, operation in enumerate(rule["operations"] or ()):
        if operation not in _OPERATIONS:
            yield errors.not_supported(f"{at.to('operations')}[{index}]", operation, _OPERATIONS)


def _versions(rule: Obj, at: Place) -> Iterator[FieldError]:
    for index, version in enumerate(rule["apiVersions"] or ()):
        if not version:
            yield errors.required(f"{at.to('apiVersions')}[{index}]")


def _resources(rule: Obj, at: Place) -> Iterator[FieldError]:
    """Resources and subresources; a wildcard leaves nothing beside it to say."""
    listed, path = rule["resources"] or [], at.to("resources")
    whole, parts = set[str](), set[str]()
    plain = False
    for index, text in enumerate(listed):
        where = f"{path}[{index}]"
        resource, slash, part = text.partition("/")
        if not text:
            yield errors.required(where)
        elif not slash:
            plain = text != "*"
        else:
            if resource in whole:
                yield errors.invalid(where, text, f"if '{resource}/*' is present, must not specify {text}")
            if part in parts:
                yield errors.invalid(where, text, f"if '*/{part}' is present, must not specify {text}")
            whole |= {resource} if part == "*" else set()
            parts |= {part} if resource == "*" else set()
    if len(listed) > 1 and "*/*" in listed:
        yield errors.invalid(path, listed, "if '*/*' is present, must not specify other resources")
    if "*" in listed and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        yield errors.invalid(path, listed, text)


def only_changes(field: str) -> Callable[[Obj, Place], Iterator[FieldError]]:
    """What changes objects cannot ask for their deletion; paths name no rule."""

    def check(spec: Obj, at: Place) -> Iterator[FieldError]:
        for rule in (spec[field] or {}).get("resourceRules") or ():
            for operation in rule.get("operations") or ():
                if operation not in _MUTATING:
                    path = at.to(f"{field}.resourceRules.operations")
                    yield errors.not_supported(path, operation, _MUTATING)

    return check


_RULE: Row = (
    required("operations"),
    hook(_everything_alone("operations", "operations"), "operations"),
    hook(_operations, "operations"),
    required("apiGroups"),
    hook(_everything_alone("apiGroups", "API groups"), "apiGroups"),
    required("apiVersions"),
    hook(_everything_alone("apiVersions", "API versions"), "apiVersions"),
    hook(_versions, "apiVersions"),
    required("resources"),
    hook(_resources, "resources"),
    enum("scope", ("*", "Cluster", "Namespaced")),
)
# Conditions come with whatever has them.
CONDITIONS: Row = (when(_conditions_change, at_most("matchConditions", 64), "matchConditions"),)

RULES: dict[str, Row] = {
    "admissionregistration.v1.RuleWithOperations": _RULE,
    "admissionregistration.v1.NamedRuleWithOperations": (
        forms("resourceNames", path_segment),
        distinct("resourceNames"),
        *_RULE,
    ),
    "admissionregistration.v1.MatchResources": (
        enum("matchPolicy", MATCH_POLICIES, "given"),
        required("namespaceSelector"),
        "namespaceSelector",
        required("objectSelector"),
        "objectSelector",
        "resourceRules",
        "excludeResourceRules",
    ),
    "admissionregistration.v1.MatchCondition": (
        hook(_condition),
        name("name", formats.qualified_name),
        unique("name"),
    ),
}
