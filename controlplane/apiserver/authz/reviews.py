"""The SubjectAccessReview family: asking the server what somebody may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.kinds import (
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
    Kind,
)
from apimachinery.objects import Obj
from apimachinery.selectors import SelectorError, check_fields, check_labels
from controlplane.apiserver.authn.user import extra_of, node_name
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.authz.rbac import Policy
from controlplane.apiserver.authz.rules import Rule
from controlplane.apiserver.cache import select
from controlplane.apiserver.offloop import off_loop
from controlplane.apiserver.options import manager_of
from controlplane.apiserver.ownership import track_review
from controlplane.apiserver.request import Answer, Attributes, Handler, Request, User
from controlplane.apiserver.reviewing import Admit, admitted
from controlplane.apiserver.rules.shown import struct

GROUP = "authorization.k8s.io"
RESOURCE, NON_RESOURCE = "spec.resourceAttributes", "spec.nonResourceAttributes"


class AccessReviews:
    """Handlers of the four kinds."""

    def __init__(self, chain: Chain, policy: Policy, admit: Admit) -> None:
        self._chain = chain
        self._policy = policy
        self._admit = admit

    def routes(self) -> dict[tuple[str, str, str], Handler]:
        return {
            (SUBJECT_ACCESS_REVIEW.resource, "", "create"): self.subject,
            (LOCAL_SUBJECT_ACCESS_REVIEW.resource, "", "create"): self.local,
            (SELF_SUBJECT_ACCESS_REVIEW.resource, "", "create"): self.own,
            (SELF_SUBJECT_RULES_REVIEW.resource, "", "create"): self.rules,
        }

    async def subject(self, request: Request) -> Answer:
        return await self._review(request, SUBJECT_ACCESS_REVIEW, _named)

    async def local(self, request: Request) -> Answer:
        return await self._review(request, LOCAL_SUBJECT_ACCESS_REVIEW, _named)

    async def own(self, request: Request) -> Answer:
        return await self._review(request, SELF_SUBJECT_ACCESS_REVIEW, lambda spec: request.user)

    async def _review(self, request: Request, kind: Kind, who: Callable[[Obj], User]) -> Answer:
        review = await admitted(request, kind, self._admit)
        spec = review.get("spec") or {}
        track_review(review, request.catalog, manager_of(request))
        metadata = {k: v for k, v in review["metadata"].items() if v}
        problems = check(spec, metadata, kind, request.namespace)
        if problems:
            raise errors.invalid_object("", "", problems, GROUP)
        wanted, complaint = await off_loop(_weight(spec), attributes_of, spec)
        decision = self._chain.decide(who(spec), wanted)
        status: Obj = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        if complaint:
            status["evaluationError"] = complaint
        place: Obj = {"namespace": request.namespace} if kind is LOCAL_SUBJECT_ACCESS_REVIEW else {}
        if "managedFields" in metadata:
            place["managedFields"] = metadata["managedFields"]
        return Answer(
            201,
            {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": place, "spec": spec, "status": status},
        )

    async def rules(self, request: Request) -> Answer:
        review = await admitted(request, SELF_SUBJECT_RULES_REVIEW, self._admit)
        home = (review.get("spec") or {}).get("namespace", "")
        if not home:
            raise errors.BadRequest("no namespace on request")
        held, problems = self._policy.rules_of(request.user, home)
        if node_name(request.user)[1]:
            problems = [*problems, "node authorizer does not support user rule resolution"]
        status: Obj = {
            "resourceRules": [_listed(rule) for rule in held if not rule.urls],
            "nonResourceRules": [{"verbs": list(r.verbs), "nonResourceURLs": list(r.urls)} for r in held if r.urls],
            "incomplete": bool(problems),
        }
        if problems:
            status["evaluationError"] = ", ".join(problems)
        kind = SELF_SUBJECT_RULES_REVIEW
        return Answer(
            201, {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}, "spec": {}, "status": status}
        )


def _listed(rule: Rule) -> Obj:
    out: Obj = {"verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)}
    return {**out, "resourceNames": list(rule.names)} if rule.names else out


def _named(spec: Obj) -> User:
    return User(
        spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra_of(spec.get("extra") or {})
    )


def check(spec: Obj, metadata: Obj, kind: Kind, namespace: str) -> list[FieldError]:
    """What upstream's validation of a review complains about."""
    problems: list[FieldError] = []
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    local = kind is LOCAL_SUBJECT_ACCESS_REVIEW
    if asked is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        problems.append(errors.invalid(NON_RESOURCE, _path_value(path), text))
    elif asked is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problems.append(errors.invalid(RESOURCE, None, text))
    if kind is not SELF_SUBJECT_ACCESS_REVIEW and not spec.get("user") and not spec.get("groups"):
        problems.append(errors.invalid("spec.user", "", "at least one of user or group must be specified"))
    for name, requirement in (("fieldSelector", _field_requirement), ("labelSelector", _label_requirement)):
        problems += _selector_problems(f"{RESOURCE}.{name}", (asked or {}).get(name), requirement)
    if metadata.keys() - {"managedFields", *(("namespace",) if local else ())}:
        text = "must be empty except for namespace" if local else "must be empty"
        whole = {**metadata, "namespace": namespace} if local else metadata
        problems.append(errors.invalid("metadata", struct("meta.v1.ObjectMeta", whole), text))
    if local and asked is not None and asked.get("namespace", "") != namespace:
        text = "must match metadata.namespace"
        problems.append(errors.invalid(f"{RESOURCE}.namespace", asked.get("namespace", ""), text))
    if local and path is not None:
        problems.append(errors.invalid(NON_RESOURCE, _path_value(path), "disallowed on this kind of request"))
    return problems


def _path_value(path: Obj) -> Obj:
    # Upstream prints its internal type here, whose fields have no JSON names.
    return {"Path": path.get("path", ""), "Verb": path.get("verb", "")}


Requirement = Callable[[str, Obj], Iterator[FieldError]]


def _selector_problems(field: str, selector: Any, requirement: Requirement) -> Iterator[FieldError]:
    """Unknown operators are let through: a newer client may be asking."""
    if selector is None:
        return
    raw, requirements = selector.get("rawSelector", ""), selector.get("requirements") or []
    if raw and requirements:
        yield errors.invalid(f"{field}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        text = f"when {field} is specified, requirements or rawSelector is required"
        yield errors.required(f"{field}.requirements", text)
    for index, each in enumerate(requirements):
        yield from requirement(f"{field}.requirements[{index}]", each)


def _field_requirement(path: str, requirement: Obj) -> Iterator[FieldError]:
    if not requirement.get("key"):
        yield errors.required(f"{path}.key", "must be specified")
    yield from _values(path, requirement)


def _label_requirement(path: str, requirement: Obj) -> Iterator[FieldError]:
    yield from _values(path, requirement)
    key = requirement.get("key") or ""
    yield from (errors.invalid(f"{path}.key", key, wrong) for wrong in formats.qualified_name(key))
    for index, value in enumerate(requirement.get("values") or ()):
        where = f"{path}.values[{index}]"
        yield from (errors.invalid(where, value, wrong) for wrong in formats.label_value(value))


def _values(path: str, requirement: Obj) -> Iterator[FieldError]:
    operator, values = requirement.get("operator"), requirement.get("values")
    if operator in ("In", "NotIn") and not values:
        yield errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and values:
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield errors.field_forbidden(f"{path}.values", text)


def attributes_of(spec: Obj) -> tuple[Attributes, str]:
    """(the question a review asks, what of it could not be understood)."""
    asked = spec.get("resourceAttributes")
    if asked is None:
        path = spec["nonResourceAttributes"]
        return Attributes(verb=path.get("verb", ""), path=path.get("path", "")), ""
    fields, first = _selector(asked.get("fieldSelector"), f"{RESOURCE}.fieldSelector")
    labels, second = _selector(asked.get("labelSelector"), f"{RESOURCE}.labelSelector", many=True)
    texts = {k: asked.get(k, "") for k in ("verb", "group", "version", "resource", "subresource", "namespace", "name")}
    wanted = Attributes(**texts, field_selector=fields, label_selector=labels)
    return wanted, "; ".join(text for text in (first, second) if text)


def _weight(spec: Obj) -> int:
    """How many bytes of a body the selectors of a review are worth that are still to be read."""
    asked = spec.get("resourceAttributes") or {}
    selectors = (asked.get(key) or {} for key in ("fieldSelector", "labelSelector"))
    return select.WEIGHT * sum(len(selector.get("rawSelector") or "") for selector in selectors)


OPERATORS = {"In": "=", "NotIn": "!="}
_KNOWN = (*OPERATORS, "Exists", "DoesNotExist")


def _selector(selector: Any, field: str, many: bool = False) -> tuple[str, str]:
    """A review's selector in the notation of a query string, and a complaint when it cannot be read.

    many: a requirement may name several values, and ask whether a key is there.
    """
    if not selector:
        return "", ""
    ignored = f"{field} ignored due to parse error"
    if raw := selector.get("rawSelector"):
        try:
            (check_labels if many else check_fields)(raw)
        except SelectorError:
            return "", ignored
        return raw, ""
    out, read, requirements = [], 0, selector.get("requirements") or ()
    for requirement in requirements:
        key, values = requirement.get("key", ""), requirement.get("values") or []
        name = requirement.get("operator", "")
        if name not in _KNOWN or not (many or (name in OPERATORS and len(values) == 1)):
            continue
        read += 1
        if name in OPERATORS and len(values) == 1:
            out.append(f"{key}{OPERATORS[name]}{values[0]}")
    if read == len(requirements):
        return ",".join(out), ""
    return ",".join(out), f"{field} partially ignored due to parse error" if read else ignored
