"""Roles and bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import label_selector
from controlplane.apiserver.rules.words import changed, enum, hook, name, required

_GROUP = "rbac.authorization.k8s.io"


def _paths(namespaced: bool) -> Rule:
    """What a rule is about: resources, or, in the cluster's own roles, paths."""

    def check(rule: Obj, at: Place) -> Iterator[FieldError]:
        urls, where = rule.get("nonResourceURLs") or [], at.to("nonResourceURLs")
        if urls and namespaced:
            yield errors.invalid(where, urls, "namespaced rules cannot apply to non-resource URLs")
        if urls and any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            yield errors.invalid(where, urls, text)
        if not urls and not rule.get("apiGroups"):
            yield errors.required(at.to("apiGroups"), "resource rules must supply at least one api group")
        if not urls and not rule.get("resources"):
            yield errors.required(at.to("resources"), "resource rules must supply at least one resource")

    return hook(check)


def _usable(selector: Obj, at: Place) -> Iterator[FieldError]:
    """Upstream shows nothing of a selector that selects nothing."""
    if label_selector("", selector):
        yield errors.invalid(at.path, None, "invalid label selector.")


def _subject(namespaced: bool) -> Callable[[Obj, Place], Iterator[FieldError]]:
    def check(subject: Obj, at: Place) -> Iterator[FieldError]:
        kind, title, group = (subject.get(field) or "" for field in ("kind", "name", "apiGroup"))
        if not title:
            yield errors.required(at.to("name"))
        if kind == "ServiceAccount":
            for text in formats.dns1123_subdomain(title) if title else ():
                yield errors.invalid(at.to("name"), title, text)
            if group:
                yield errors.not_supported(at.to("apiGroup"), group, ("",))
            if not namespaced and not subject.get("namespace"):
                yield errors.required(at.to("namespace"))
        elif kind not in ("User", "Group"):
            yield errors.not_supported(at.to("kind"), kind, ("ServiceAccount", "User", "Group"))
        elif group != _GROUP:
            yield errors.not_supported(at.to("apiGroup"), group, (_GROUP,))

    return check


def _same_role(binding: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """A binding stays with its role: a changed roleRef would be another grant under a trusted name."""
    if binding.get("roleRef") != before.get("roleRef"):
        shown = struct("rbac.v1.RoleRef", binding.get("roleRef") or {})
        yield errors.invalid("roleRef", shown, "cannot change roleRef")


def _role(*kinds: str) -> Row:
    return (enum("apiGroup", (_GROUP,), "refuse"), enum("kind", kinds, "refuse"), name("name", path_segment))


_BINDING: Row = (inside("roleRef", always=True), "subjects", changed(_same_role))

RULES: dict[str, Row] = {
    "rbac.v1.Role": ("rules",),
    "rbac.v1.ClusterRole": ("rules", "aggregationRule"),
    "rbac.v1.PolicyRule": (required("verbs", detail="verbs must contain at least one value"),),
    "rbac.v1.Role.rules": (_paths(namespaced=True),),
    "rbac.v1.ClusterRole.rules": (_paths(namespaced=False),),
    "rbac.v1.AggregationRule": (
        required(
            "clusterRoleSelectors", detail="at least one clusterRoleSelector required if aggregationRule is non-nil"
        ),
        "clusterRoleSelectors",
    ),
    "rbac.v1.AggregationRule.clusterRoleSelectors": (hook(_usable),),
    "rbac.v1.RoleBinding": _BINDING,
    "rbac.v1.ClusterRoleBinding": _BINDING,
    "rbac.v1.RoleBinding.roleRef": _role("Role", "ClusterRole"),
    "rbac.v1.ClusterRoleBinding.roleRef": _role("ClusterRole"),
    "rbac.v1.RoleBinding.subjects": (hook(_subject(namespaced=True)),),
    "rbac.v1.ClusterRoleBinding.subjects": (hook(_subject(namespaced=False)),),
}
