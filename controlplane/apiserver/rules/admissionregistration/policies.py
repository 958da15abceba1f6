"""Admission policies and their bindings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from apimachinery import errors, formats
from apimachinery.cel.types.kinds import Type
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.expressions.compiling import (
    ANNOTATION,
    APPLIED,
    CONDITION,
    MESSAGE,
    PATCHES,
    Scope,
    Unfit,
    with_variables,
)
from controlplane.apiserver.expressions.known import NOTHING
from controlplane.apiserver.rules.admissionregistration.matching import (
    CONDITIONS,
    FAILURE_POLICIES,
    REINVOCATION,
    of_unfit,
    only_changes,
    said,
    unfit,
)
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import c_identifier, each
from controlplane.apiserver.rules.words import enum, form, hook, name, required, unique, when

_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_MOST_ANNOTATIONS, _LONGEST_VALUE = 20, 5 * 1024
_NOTHING = "validations or auditAnnotations must contain at least one item"
_EXCLUSIVE = "name and selector are mutually exclusive"
_BOTH_TOLD = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response "
    "and headers serves no purpose)"
)
_RESERVED = (
    "true false null in as break const continue else for function if import let loop package namespace return var void "
    "while"
)
_UNSAID = "expression is not specified"
# Under which names notes keep what a policy's expressions may name, and what is wrong with each variable.
_SCOPE, _VARIABLES = "scope of expressions", "unfit variables"


# --- policies ---


def _group_version(kind: Obj, at: Place) -> Iterator[FieldError]:
    given, path = kind.get("apiVersion") or "", at.to("apiVersion")
    group, slash, version = given.partition("/")
    if not slash:
        group, version = "", group
    if not given:
        yield errors.required(path)
    elif "/" in version:
        yield errors.invalid(path, given, f"unexpected GroupVersion string: {given}")
    else:
        if group and (wrong := formats.dns1123_subdomain(group)):
            yield errors.invalid(path, group, ",".join(wrong))
        if not version:
            yield errors.invalid(path, given, "version must be specified")
        elif wrong := formats.dns1035_label(version):
            yield errors.invalid(path, version, ",".join(wrong))


def _kind(kind: Obj, at: Place) -> Iterator[FieldError]:
    title = kind.get("kind") or ""
    if not title:
        yield errors.required(at.to("kind"))
    elif wrong := formats.dns1035_label(title.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(wrong)
        yield errors.invalid(at.to("kind"), title, text)


def _constraints(spec: Obj, at: Place) -> Iterator[FieldError]:
    if not (spec["matchConstraints"] or {}).get("resourceRules"):
        yield errors.required(at.to("matchConstraints.resourceRules"))


def _names(at: Place) -> Scope:
    """What the expressions of a policy may name; notes keep it, with what is wrong with its variables."""
    found: Scope | None = at.about.notes.get(_SCOPE)
    if found is None:
        spec = at.about.new["spec"]
        variables = [(each.get("name") or "", each.get("expression") or "") for each in spec.get("variables") or ()]
        # A policy that validates knows `variables` where it has any; one that changes objects always.
        composed = bool(variables) or "mutations" in spec
        scope = Scope(params=spec.get("paramKind") is not None, variables=NOTHING if composed else None)
        found, wrong = with_variables(scope, variables)
        at.about.notes[_SCOPE], at.about.notes[_VARIABLES] = found, wrong
    return found


def _variable(variable: Obj, at: Place) -> Iterator[FieldError]:
    title = variable.get("name") or ""
    if not title.strip():
        yield errors.required(at.to("name"), "name is not specified")
    elif c_identifier(title) or title in _RESERVED.split():
        yield errors.invalid(at.to("name"), title, "must be a valid CEL identifier")
    text = variable.get("expression") or ""
    if not text.strip():
        yield errors.required(at.to("expression"), _UNSAID)
        return
    _names(at)
    wrong: list[Unfit | None] = at.about.notes[_VARIABLES]
    assert isinstance(at.index, int)
    if (refused := wrong[at.index]) is not None:
        yield of_unfit(at.to("expression"), text, refused)


def _something(spec: Obj, at: Place) -> Iterator[FieldError]:
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        for field in ("validations", "auditAnnotations"):
            yield errors.required(at.to(field), _NOTHING)


def _few(spec: Obj, at: Place) -> Iterator[FieldError]:
    listed = spec["auditAnnotations"] or ()
    if len(listed) > _MOST_ANNOTATIONS:
        shown = [struct("admissionregistration.v1.AuditAnnotation", annotation) for annotation in listed]
        text = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        yield errors.invalid(at.to("auditAnnotations"), shown, text)


def _validation(validation: Obj, at: Place) -> Iterator[FieldError]:
    text = validation.get("expression") or ""
    if not text.strip():
        yield errors.required(at.to("expression"), _UNSAID)
    else:
        yield from unfit(at.to("expression"), text, _names(at), CONDITION)


def _messages(validation: Obj, at: Place) -> Iterator[FieldError]:
    for field in ("messageExpression", "message"):
        text = validation.get(field) or ""
        if text and not text.strip():
            yield errors.invalid(at.to(field), text, "must be non-empty if specified")
        elif text and field == "messageExpression":
            yield from unfit(at.to(field), text, replace(_names(at), authorizer=False), MESSAGE)
        elif field == "message" and re.search(r"[\n\r]", text.strip()):
            yield errors.invalid(at.to(field), text, "must not contain line breaks")


def _annotation(annotation: Obj, at: Place) -> Iterator[FieldError]:
    """An annotation's key is the policy's name and its own."""
    policy, key = at.about.new["metadata"].get("name") or "", annotation.get("key") or ""
    if policy:
        whole = f"{policy}/{key}"
        yield from each(at.to("key"), whole, formats.qualified_name(whole))
    else:
        yield errors.invalid(at.to("key"), key, "requires metadata.name be non-empty")
    value = (annotation.get("valueExpression") or "").strip()
    if not value:
        yield errors.required(at.to("valueExpression"), "valueExpression is not specified")
    elif len(value.encode()) > _LONGEST_VALUE:
        yield errors.required(at.to("valueExpression"), f"must not exceed {_LONGEST_VALUE} bytes in length")
    else:
        yield from unfit(at.to("valueExpression"), value, _names(at), ANNOTATION, annotation["valueExpression"])


def _own(mutation: Obj, at: Place) -> Iterator[FieldError]:
    kind = mutation.get("patchType") or ""
    if not kind:
        yield errors.required(at.to("patchType"))
    elif kind not in _PATCHES:
        yield errors.not_supported(at.to("patchType"), kind, _PATCHES)
    elif mutation.get(_PATCHES[kind]) is None:
        yield errors.required(at.to(_PATCHES[kind]), f"must be specified when patchType is {kind}")


def _patch(wanted: tuple[Type, ...]) -> Callable[[Obj, Place], Iterator[FieldError]]:
    def check(patch: Obj, at: Place) -> Iterator[FieldError]:
        text = (patch.get("expression") or "").strip()
        if not text:
            yield errors.required(at.to("expression"))
        else:
            yield from unfit(at.to("expression"), text, replace(_names(at), patches=True), wanted)

    return check


def _patches(kind: str) -> Callable[[Obj, Place], bool]:
    return lambda mutation, at: bool(mutation.get("patchType") == kind)


def _others(mutation: Obj, at: Place) -> Iterator[FieldError]:
    kind = mutation.get("patchType") or ""
    for other, field in _PATCHES.items():
        if kind in _PATCHES and other != kind and mutation.get(field) is not None:
            yield errors.invalid(at.to(field), f"{{{field}}}", f"must not be specified when patchType is {kind}")


# --- bindings ---


def _actions(spec: Obj, at: Place) -> Iterator[FieldError]:
    actions, path = spec.get("validationActions") or [], at.to("validationActions")
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield errors.not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield errors.duplicate(f"{path}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        yield errors.invalid(path, actions, _BOTH_TOLD)
    if not actions:
        yield errors.required(path, "at least one validation action is required")


def _not_both(field: str) -> Rule:
    def check(reference: Obj, at: Place) -> Iterator[FieldError]:
        if reference.get("name") and reference.get("selector") is not None:
            yield errors.field_forbidden(at.to(field), _EXCLUSIVE)

    return hook(check, field)


def _neither(reference: Obj, at: Place) -> Iterator[FieldError]:
    if not reference.get("name") and reference.get("selector") is None:
        yield errors.required(at.path, "one of name or selector must be specified")


_POLICY: Row = (
    enum("failurePolicy", FAILURE_POLICIES, "given"),
    "paramKind",
    required("matchConstraints"),
    "matchConstraints",
    hook(_constraints, "matchConstraints"),
)
_BINDING: Row = (name("policyName", formats.dns1123_subdomain), "paramRef", "matchResources")

RULES: dict[str, Row] = {
    "admissionregistration.v1.ValidatingAdmissionPolicy": (inside("spec", always=True),),
    "admissionregistration.v1.ValidatingAdmissionPolicy/status": (inside("status", always=True),),
    "admissionregistration.v1.ValidatingAdmissionPolicySpec": (
        *_POLICY,
        *CONDITIONS,
        "variables",
        hook(_something),
        "validations",
        hook(_few, "auditAnnotations"),
        "auditAnnotations",
    ),
    "admissionregistration.v1.ValidatingAdmissionPolicyStatus": ("typeChecking", "conditions"),
    "admissionregistration.v1.TypeChecking": ("expressionWarnings",),
    "admissionregistration.v1.ExpressionWarning": (required("warning"), hook(said("fieldRef"))),
    "admissionregistration.v1.MutatingAdmissionPolicy": (inside("spec", always=True),),
    "admissionregistration.v1.MutatingAdmissionPolicySpec": (
        *_POLICY,
        hook(only_changes("matchConstraints"), "matchConstraints"),
        *CONDITIONS,
        "variables",
        required("mutations", detail="mutations must contain at least one item"),
        "mutations",
        enum("reinvocationPolicy", REINVOCATION, "required"),
    ),
    "admissionregistration.v1.ParamKind": (hook(_group_version), hook(_kind)),
    "admissionregistration.v1.Variable": (hook(_variable),),
    "admissionregistration.v1.Validation": (
        hook(_validation),
        hook(_messages, "messageExpression", "message"),
        enum("reason", _REASONS),
    ),
    "admissionregistration.v1.AuditAnnotation": (hook(_annotation), unique("key", empty=True)),
    "admissionregistration.v1.Mutation": (
        hook(_own),
        *(when(_patches(kind), field) for kind, field in _PATCHES.items()),
        hook(_others),
    ),
    "admissionregistration.v1.ApplyConfiguration": (hook(_patch(APPLIED)),),
    "admissionregistration.v1.JSONPatch": (hook(_patch(PATCHES)),),
    "admissionregistration.v1.ValidatingAdmissionPolicyBinding": (inside("spec", always=True),),
    "admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec": (*_BINDING, hook(_actions)),
    "admissionregistration.v1.MutatingAdmissionPolicyBinding": (inside("spec", always=True),),
    "admissionregistration.v1.MutatingAdmissionPolicyBindingSpec": (
        *_BINDING,
        hook(only_changes("matchResources"), "matchResources"),
    ),
    "admissionregistration.v1.ParamRef": (
        form("name", path_segment),
        _not_both("name"),
        "selector",
        _not_both("selector"),
        hook(_neither),
        enum("parameterNotFoundAction", ("Deny", "Allow"), "required"),
    ),
}
