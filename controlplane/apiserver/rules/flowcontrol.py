"""FlowSchemas and PriorityLevelConfigurations."""

from __future__ import annotations

import math
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules import flows
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import each, enum
from controlplane.apiserver.rules.words import hook, name, required, unique, when

_MOST_PRECEDENCE = 10000
_METHODS = ("ByNamespace", "ByUser")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
# In this order upstream looks for what a subject of another kind has.
_FORBIDDEN = {
    "ServiceAccount": ("User", "Group"),
    "User": ("ServiceAccount", "Group"),
    "Group": ("ServiceAccount", "User"),
}
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_MOST_QUEUES, _HASH_BITS = 10_000_000, 60
_ZERO = "flowcontrol.k8s.io/preserve-zero-concurrency-shares"
_SPACE_WANTED = "each member of this list must be '*' or a DNS-1123 label; "


# --- schemas ---


def _schema(spec: Obj, at: Place) -> Iterator[FieldError]:
    precedence, method = spec.get("matchingPrecedence") or 0, spec.get("distinguisherMethod")
    where = at.to("matchingPrecedence")
    if precedence <= 0:
        yield errors.invalid(where, precedence, "must be a positive value")
    if precedence > _MOST_PRECEDENCE:
        yield errors.invalid(where, precedence, f"must not be greater than {_MOST_PRECEDENCE}")
    if precedence == 1 and at.about.new["metadata"].get("name") != "exempt":
        yield errors.invalid(where, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    if method is not None and method.get("type") not in _METHODS:
        shown = struct("flowcontrol.v1.FlowDistinguisherMethod", method)
        yield errors.not_supported(at.to("distinguisherMethod.type"), shown, _METHODS)


def _about_something(rule: Obj, at: Place) -> Iterator[FieldError]:
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        yield errors.required(at.path, "at least one of resourceRules and nonResourceRules has to be non-empty")


def _subject(subject: Obj, at: Place) -> Iterator[FieldError]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        yield from enum(at.to("kind"), kind, _SUBJECTS)
        return
    field = _SUBJECTS[kind]
    if subject.get(field) is None:
        yield errors.required(at.to(field), f"{field} is required when subject kind is '{kind}'")


def _others(subject: Obj, at: Place) -> Iterator[FieldError]:
    for kind in _FORBIDDEN.get(subject.get("kind") or "", ()):
        field = _SUBJECTS[kind]
        if subject.get(field) is not None:
            yield errors.field_forbidden(at.to(field), f"{field} is forbidden when subject kind is not '{kind}'")


def _named(kind: str) -> Rule:
    return when(lambda subject, at: subject.get("kind") == kind, _SUBJECTS[kind])


def _account(account: Obj, at: Place) -> Iterator[FieldError]:
    title, space = account.get("name") or "", account.get("namespace") or ""
    if not title:
        yield errors.required(at.to("name"))
    elif title != "*":
        yield from each(at.to("name"), title, formats.dns1123_subdomain(title))
    if space:
        yield from each(at.to("namespace"), space, formats.dns1123_label(space))
    else:
        yield errors.required(at.to("namespace"), "must specify namespace for service account")


def _alone(rule: Obj, at: Place, field: str, what: str) -> Iterator[FieldError]:
    """A "*" stands for all, and alone."""
    listed = rule.get(field) or []
    if "*" in listed and len(listed) > 1:
        yield errors.invalid(at.to(field), listed, f"if '*' is present, must not specify other {what}")


def _verbs(rule: Obj, at: Place) -> Iterator[FieldError]:
    listed = rule.get("verbs") or []
    if not listed:
        yield errors.required(at.to("verbs"), "verbs must contain at least one value")
    elif "*" not in listed and any(verb not in _VERBS for verb in listed):
        yield errors.not_supported(at.to("verbs"), listed, _VERBS)
    yield from _alone(rule, at, "verbs", "verbs")


def _resources(rule: Obj, at: Place) -> Iterator[FieldError]:
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        if not rule.get(field):
            yield errors.required(at.to(field), f"resource rules must supply at least one {one}")
        yield from _alone(rule, at, field, many)
    spaces, where = rule.get("namespaces") or [], at.to("namespaces")
    if not spaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        yield errors.required(where, text)
    yield from _alone(rule, at, "namespaces", "namespaces")
    if "*" in spaces:
        return
    for index, space in enumerate(spaces):
        yield from each(
            f"{where}[{index}]", space, tuple(_SPACE_WANTED + text for text in formats.dns1123_label(space))
        )


def _urls(rule: Obj, at: Place) -> Iterator[FieldError]:
    listed, where = rule.get("nonResourceURLs") or [], at.to("nonResourceURLs")
    if not listed:
        yield errors.required(where, "nonResourceURLs must contain at least one value")
    yield from _alone(rule, at, "nonResourceURLs", "non-resource URLs")
    if "*" in listed:
        return
    for index, url in enumerate(listed):
        if wrong := _url(url):
            yield errors.invalid(f"{where}[{index}]", url, wrong)


def _url(url: str) -> str:
    """What is wrong with a path, "" when nothing is."""
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    many = url.count("*")
    return "wildcard can only do suffix matching" if many > 1 or (many and not url.endswith("/*")) else ""


# --- levels ---


def _level(spec: Obj, at: Place) -> Iterator[FieldError]:
    kind = spec.get("type") or ""
    if (at.about.new["metadata"].get("name") == "exempt") != (kind == "Exempt"):
        yield errors.invalid(at.to("type"), kind, "must be 'Exempt' if and only if `name` is 'exempt'")
    if kind == "Exempt":
        if spec.get("limited") is not None:
            yield errors.field_forbidden(at.to("limited"), "must be nil if the type is not Limited")
    elif kind == "Limited":
        if spec.get("exempt") is not None:
            yield errors.field_forbidden(at.to("exempt"), "must be nil if the type is Limited")
        if spec.get("limited") is None:
            yield errors.required(at.to("limited"), "must not be empty when type is Limited")
    else:
        yield from enum(at.to("type"), kind, ("Exempt", "Limited"))


def _fixed_level(level: Obj, at: Place) -> Iterator[FieldError]:
    name, spec = level["metadata"].get("name") or "", level["spec"]
    fixed = flows.MANDATORY_LEVELS.get(name)
    if name == "exempt" and {**spec, "exempt": None} != {**flows.EXEMPT, "exempt": None}:
        text = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
        yield errors.invalid("spec", struct("flowcontrol.v1.PriorityLevelConfigurationSpec", spec), text)
    elif name != "exempt" and fixed is not None and spec != fixed:
        text = f"spec of '{name}' must equal the fixed value"
        yield errors.invalid("spec", struct("flowcontrol.v1.PriorityLevelConfigurationSpec", spec), text)


def _fixed_schema(schema: Obj, at: Place) -> Iterator[FieldError]:
    name, spec = schema["metadata"].get("name") or "", schema["spec"]
    if name in flows.MANDATORY_SCHEMAS and spec != flows.MANDATORY_SCHEMAS[name]:
        shown = struct("flowcontrol.v1.FlowSchemaSpec", spec)
        yield errors.invalid("spec", shown, f"spec of '{name}' must equal the fixed value")


def _annotation(level: Obj, at: Place) -> Iterator[FieldError]:
    """What an older version of the type kept there."""
    if _ZERO in (level["metadata"].get("annotations") or {}):
        yield errors.field_forbidden("metadata.annotations", f"annotation '{_ZERO}' is forbidden")


def _of(kind: str, field: str) -> Rule:
    return when(lambda spec, at: spec.get("type") == kind, field)


def _shares(settings: Obj, at: Place) -> Iterator[FieldError]:
    shares = settings.get("nominalConcurrencyShares") or 0
    if shares < 0:
        yield errors.invalid(at.to("nominalConcurrencyShares"), shares, "must be a non-negative integer")


def _lent(settings: Obj, at: Place) -> Iterator[FieldError]:
    lent, borrowed = settings.get("lendablePercent"), settings.get("borrowingLimitPercent")
    if lent is not None and not 0 <= lent <= 100:
        yield errors.invalid(at.to("lendablePercent"), lent, "must be between 0 and 100, inclusive")
    if borrowed is not None and borrowed < 0:
        text = "if specified, must be a non-negative integer"
        yield errors.invalid(at.to("borrowingLimitPercent"), borrowed, text)


def _response(response: Obj, at: Place) -> Iterator[FieldError]:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind not in ("Queue", "Reject"):
        yield from enum(at.to("type"), kind, ("Queue", "Reject"))
    elif kind == "Reject" and queuing is not None:
        text = "must be nil if limited.limitResponse.type is not Limited"
        yield errors.field_forbidden(at.to("queuing"), text)
    elif kind == "Queue" and queuing is None:
        yield errors.required(at.to("queuing"), "must not be empty if limited.limitResponse.type is Limited")


def _queues(queuing: Obj, at: Place) -> Iterator[FieldError]:
    queues, hand, length = (queuing.get(field) or 0 for field in ("queues", "handSize", "queueLengthLimit"))
    if length <= 0:
        yield errors.invalid(at.to("queueLengthLimit"), length, "must be positive")
    if queues <= 0:
        yield errors.invalid(at.to("queues"), queues, "must be positive")
    elif queues > _MOST_QUEUES:
        yield errors.invalid(at.to("queues"), queues, f"must not be greater than {_MOST_QUEUES}")
    if hand <= 0:
        yield errors.invalid(at.to("handSize"), hand, "must be positive")
    elif hand > queues:
        yield errors.invalid(at.to("handSize"), hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        text = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        yield errors.invalid(at.to("handSize"), hand, text)


_CONDITION: Row = (unique("type", empty=True), required("type"))
_SPEC, _STATUS = inside("spec", always=True), inside("status", always=True)

RULES: dict[str, Row] = {
    "flowcontrol.v1.FlowSchema": (_SPEC, hook(_fixed_schema), _STATUS),
    "flowcontrol.v1.FlowSchema/status": (_STATUS,),
    "flowcontrol.v1.FlowSchemaSpec": (hook(_schema), inside("priorityLevelConfiguration", always=True), "rules"),
    "flowcontrol.v1.PriorityLevelConfigurationReference": (
        name("name", formats.dns1123_subdomain, detail="must reference a priority level"),
    ),
    "flowcontrol.v1.PolicyRulesWithSubjects": (
        "subjects",
        required("subjects", detail="subjects must contain at least one value"),
        hook(_about_something),
        "resourceRules",
        "nonResourceRules",
    ),
    "flowcontrol.v1.Subject": (hook(_subject), *(_named(kind) for kind in _SUBJECTS), hook(_others)),
    "flowcontrol.v1.ServiceAccountSubject": (hook(_account),),
    "flowcontrol.v1.UserSubject": (required("name"),),
    "flowcontrol.v1.GroupSubject": (required("name"),),
    "flowcontrol.v1.ResourcePolicyRule": (hook(_verbs), hook(_resources)),
    "flowcontrol.v1.NonResourcePolicyRule": (hook(_verbs), hook(_urls)),
    "flowcontrol.v1.FlowSchemaStatus": ("conditions",),
    "flowcontrol.v1.FlowSchemaCondition": _CONDITION,
    "flowcontrol.v1.PriorityLevelConfiguration": (hook(_annotation), _SPEC, hook(_fixed_level), _STATUS),
    "flowcontrol.v1.PriorityLevelConfiguration/status": (_STATUS,),
    "flowcontrol.v1.PriorityLevelConfigurationSpec": (hook(_level), _of("Exempt", "exempt"), _of("Limited", "limited")),
    "flowcontrol.v1.ExemptPriorityLevelConfiguration": (hook(_shares), hook(_lent)),
    "flowcontrol.v1.LimitedPriorityLevelConfiguration": (
        hook(_shares),
        inside("limitResponse", always=True),
        hook(_lent),
    ),
    "flowcontrol.v1.LimitResponse": (
        hook(_response),
        when(lambda response, at: response.get("type") == "Queue", "queuing"),
    ),
    "flowcontrol.v1.QueuingConfiguration": (hook(_queues),),
    "flowcontrol.v1.PriorityLevelConfigurationStatus": ("conditions",),
    "flowcontrol.v1.PriorityLevelConfigurationCondition": _CONDITION,
}
