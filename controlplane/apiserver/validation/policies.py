"""Admission policies and their bindings; whether their expressions compile is for whoever evaluates them."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, formats
from apimachinery.objects import Obj
from controlplane.apiserver.rules.values import Found, each, enum, label_selector, name
from controlplane.apiserver.validation.webhooks import (
    FAILURE_POLICIES,
    IDENTIFIER,
    MATCH_POLICIES,
    REINVOCATION,
    match_conditions,
    rule_with_operations,
)

_ACTIONS = ("Audit", "Deny", "Warn")
_NOT_FOUND = ("Allow", "Deny")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_MOST_ANNOTATIONS = 20
_NOTHING = "validations or auditAnnotations must contain at least one item"
_BOTH_TOLD = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response "
    "and headers serves no purpose)"
)


def validating(obj: Obj) -> Found:
    spec = obj["spec"]
    found = _shared(spec)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        return [*found, *(errors.required(f"spec.{field}", _NOTHING) for field in ("validations", "auditAnnotations"))]
    for index, validation in enumerate(validations):
        found += _validation(f"spec.validations[{index}]", validation)
    if len(annotations) > _MOST_ANNOTATIONS:
        text = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        found.append(errors.invalid("spec.auditAnnotations", annotations, text))
    keys: set[str] = set()
    for index, annotation in enumerate(annotations):
        where, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        found += name(f"{where}.key", key, formats.qualified_name)
        if not (annotation.get("valueExpression") or "").strip():
            found.append(errors.required(f"{where}.valueExpression", "valueExpression is not specified"))
        if key in keys:
            found.append(errors.duplicate(f"{where}.key", key))
        keys.add(key)
    return found


def _shared(spec: Obj) -> Found:
    """What policies of both sorts have."""
    policy, constraints = spec.get("failurePolicy"), spec.get("matchConstraints")
    found = [errors.required("spec.failurePolicy")] if policy is None else []
    if policy is not None:
        found += enum("spec.failurePolicy", policy, FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        found += _param_kind("spec.paramKind", spec["paramKind"])
    if constraints is None:
        found.append(errors.required("spec.matchConstraints"))
    else:
        found += match_resources("spec.matchConstraints", constraints)
        if not constraints.get("resourceRules"):
            found.append(errors.required("spec.matchConstraints.resourceRules"))
    found += match_conditions("spec.matchConditions", spec.get("matchConditions") or [])
    for index, variable in enumerate(spec.get("variables") or ()):
        found += _variable(f"spec.variables[{index}]", variable)
    return found


def _variable(path: str, variable: Obj) -> Found:
    title = variable.get("name") or ""
    found: Found = []
    if not title.strip():
        found.append(errors.required(f"{path}.name", "name is not specified"))
    elif not IDENTIFIER.match(title):
        found.append(errors.invalid(f"{path}.name", title, "must be a valid CEL identifier"))
    if not (variable.get("expression") or "").strip():
        found.append(errors.required(f"{path}.expression", "expression is not specified"))
    return found


def _param_kind(path: str, kind: Obj) -> Found:
    given, title = kind.get("apiVersion") or "", kind.get("kind") or ""
    found: Found = []
    group, _, version = given.rpartition("/")
    if not given:
        found.append(errors.required(f"{path}.apiVersion"))
    elif given.count("/") > 1:
        found.append(errors.invalid(f"{path}.apiVersion", given, f"unexpected GroupVersion string: {given}"))
    else:
        if group and (wrong := formats.dns1123_subdomain(group)):
            found.append(errors.invalid(f"{path}.apiVersion", group, ",".join(wrong)))
        if not version:
            found.append(errors.invalid(f"{path}.apiVersion", given, "version must be specified"))
        elif wrong := formats.dns1035_label(version):
            found.append(errors.invalid(f"{path}.apiVersion", version, ",".join(wrong)))
    if not title:
        found.append(errors.required(f"{path}.kind"))
    elif wrong := formats.dns1035_label(title.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(wrong)
        found.append(errors.invalid(f"{path}.kind", title, text))
    return found


def match_resources(path: str, constraints: Obj) -> Found:
    policy = constraints.get("matchPolicy")
    found: Found = []
    if policy is None:
        found.append(errors.required(f"{path}.matchPolicy"))
    else:
        found += enum(f"{path}.matchPolicy", policy, MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        if constraints.get(field) is None:
            found.append(errors.required(f"{path}.{field}"))
        found += label_selector(f"{path}.{field}", constraints.get(field))
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(constraints.get(field) or ()):
            found += _named_rule(f"{path}.{field}[{index}]", rule)
    return found


def _named_rule(path: str, rule: Obj) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, title in enumerate(rule.get("resourceNames") or ()):
        where = f"{path}.resourceNames[{index}]"
        if not title:
            found.append(errors.invalid(where, title, "must be non-empty"))
        if title in seen:
            found.append(errors.duplicate(where, title))
        seen.add(title)
    return found + rule_with_operations(path, rule)


def _validation(path: str, validation: Obj) -> Found:
    message, reason = validation.get("message") or "", validation.get("reason")
    found: Found = []
    if not (validation.get("expression") or "").strip():
        found.append(errors.required(f"{path}.expression", "expression is not specified"))
    if message and not message.strip():
        text = "message must be non-empty if specified"
        found.append(errors.invalid(f"{path}.message", message, text))
    elif "\n" in message.strip():
        found.append(errors.invalid(f"{path}.message", message, "must not contain line breaks"))
    if reason is not None:
        found += enum(f"{path}.reason", reason, _REASONS)
    return found


# --- mutating ---


def mutating(obj: Obj) -> Found:
    spec = obj["spec"]
    found = _shared(spec)
    mutations, again = spec.get("mutations") or [], spec.get("reinvocationPolicy") or ""
    if not mutations:
        found.append(errors.required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        found += _mutation(f"spec.mutations[{index}]", mutation)
    if not again:
        return [*found, errors.required("spec.reinvocationPolicy")]
    return found + enum("spec.reinvocationPolicy", again, REINVOCATION)


def _mutation(path: str, mutation: Obj) -> Found:
    kind = mutation.get("patchType") or ""
    if not kind:
        return [errors.required(f"{path}.patchType", "patch type must be specified")]
    if kind not in _PATCHES:
        return [errors.not_supported(f"{path}.patchType", kind, _PATCHES)]
    own = _PATCHES[kind]
    found: Found = []
    if mutation.get(own) is None:
        found.append(errors.required(f"{path}.{own}", f"must be specified when patchType is {kind}"))
    elif not (mutation[own].get("expression") or "").strip():
        found.append(errors.required(f"{path}.{own}.expression", "expression is not specified"))
    for other in _PATCHES.values():
        if other != own and mutation.get(other) is not None:
            text = f"must not be specified when patchType is {kind}"
            found.append(errors.invalid(f"{path}.{other}", f"{{{other}}}", text))
    return found


# --- bindings ---


def binding(obj: Obj) -> Found:
    """The binding of a validating policy."""
    spec = obj["spec"]
    found = _bound(spec)
    actions = spec.get("validationActions") or []
    if not actions:
        text = "at least one validation action is required"
        return [*found, errors.required("spec.validationActions", text)]
    for index, action in enumerate(actions):
        where = f"spec.validationActions[{index}]"
        found += enum(where, action, _ACTIONS)
        if action in actions[:index]:
            found.append(errors.duplicate(where, action))
    if "Deny" in actions and "Warn" in actions:
        found.append(errors.invalid("spec.validationActions", actions, _BOTH_TOLD))
    return found


def mutating_binding(obj: Obj) -> Found:
    return _bound(obj["spec"])


def _bound(spec: Obj) -> Found:
    policy = spec.get("policyName") or ""
    found: Found = []
    if not policy:
        found.append(errors.required("spec.policyName"))
    else:
        found += each("spec.policyName", policy, formats.dns1123_subdomain(policy))
    if spec.get("paramRef") is not None:
        found += _param("spec.paramRef", spec["paramRef"])
    if spec.get("matchResources") is not None:
        found += match_resources("spec.matchResources", spec["matchResources"])
    return found


def _param(path: str, reference: Obj) -> Found:
    title, selector, missing = reference.get("name") or "", reference.get("selector"), reference.get(_MISSING)
    found: Found = []
    if title and selector is not None:
        text = "name and selector are mutually exclusive"
        found += [errors.field_forbidden(f"{path}.{field}", text) for field in ("name", "selector")]
    elif not title and selector is None:
        found.append(errors.required(path, "one of name or selector must be specified"))
    if title:
        found += each(f"{path}.name", title, formats.dns1123_subdomain(title))
    found += label_selector(f"{path}.selector", selector)
    return found + _missing(f"{path}.{_MISSING}", missing)


_MISSING = "parameterNotFoundAction"


def _missing(path: str, action: Any) -> Found:
    return [errors.required(path)] if action is None else enum(path, action, _NOT_FOUND)
