"""Validation of roles and bindings."""

from __future__ import annotations

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.names import path_segment
from controlplane.apiserver.rules.values import label_selector

GROUP = "rbac.authorization.k8s.io"


def role(obj: Obj) -> list[FieldError]:
    """A Role: rules about resources alone."""
    return [p for i, rule in enumerate(obj.get("rules") or ()) for p in _rule(rule, f"rules[{i}]", namespaced=True)]


def cluster_role(obj: Obj) -> list[FieldError]:
    """A ClusterRole: rules about resources or paths, or a rule where to gather them."""
    problems = [
        p for i, rule in enumerate(obj.get("rules") or ()) for p in _rule(rule, f"rules[{i}]", namespaced=False)
    ]
    if obj.get("aggregationRule") is None:
        return problems
    field = "aggregationRule.clusterRoleSelectors"
    selectors = obj["aggregationRule"].get("clusterRoleSelectors") or []
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        problems.append(errors.required(field, text))
    for index, selector in enumerate(selectors):
        found = label_selector(f"{field}[{index}]", selector)
        problems += found
        if found:
            problems.append(errors.invalid(f"{field}[{index}]", None, "invalid label selector."))
    return problems


def _rule(rule: Obj, field: str, namespaced: bool) -> list[FieldError]:
    problems: list[FieldError] = []
    if not rule.get("verbs"):
        problems.append(errors.required(f"{field}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs") or []
    if urls:
        path = f"{field}.nonResourceURLs"
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            problems.append(errors.invalid(path, urls, text))
        if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            problems.append(errors.invalid(path, urls, text))
        return problems
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        problems.append(errors.required(f"{field}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        problems.append(errors.required(f"{field}.resources", text))
    return problems


def role_binding(obj: Obj) -> list[FieldError]:
    return _binding(obj, ("Role", "ClusterRole"), namespaced=True)


def cluster_role_binding(obj: Obj) -> list[FieldError]:
    return _binding(obj, ("ClusterRole",), namespaced=False)


def _binding(obj: Obj, kinds: tuple[str, ...], namespaced: bool) -> list[FieldError]:
    problems: list[FieldError] = []
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup", "") != GROUP:
        problems.append(errors.not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), (GROUP,)))
    if reference.get("kind", "") not in kinds:
        problems.append(errors.not_supported("roleRef.kind", reference.get("kind", ""), kinds))
    name = reference.get("name", "")
    if not name:
        problems.append(errors.required("roleRef.name"))
    problems += [errors.invalid("roleRef.name", name, why) for why in (path_segment(name) if name else ())]
    for index, subject in enumerate(obj.get("subjects") or ()):
        problems += _subject(subject, f"subjects[{index}]", namespaced)
    return problems


def _subject(subject: Obj, field: str, namespaced: bool) -> list[FieldError]:
    problems: list[FieldError] = []
    kind, name, group = (subject.get(key, "") for key in ("kind", "name", "apiGroup"))
    if not name:
        problems.append(errors.required(f"{field}.name"))
    if kind == "ServiceAccount":
        problems += [
            errors.invalid(f"{field}.name", name, why) for why in (formats.dns1123_subdomain(name) if name else ())
        ]
        if group:
            problems.append(errors.not_supported(f"{field}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            problems.append(errors.required(f"{field}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            problems.append(errors.not_supported(f"{field}.apiGroup", group, (GROUP,)))
    else:
        problems.append(errors.not_supported(f"{field}.kind", kind, ("ServiceAccount", "User", "Group")))
    return problems


def same_role(new: Obj, old: Obj) -> list[FieldError]:
    """A binding stays with its role: a changed roleRef would be another grant under a trusted name."""
    if new.get("roleRef") == old.get("roleRef"):
        return []
    given = new.get("roleRef") or {}
    # Upstream prints its internal type here, whose fields have no JSON names.
    shown = {"APIGroup": given.get("apiGroup", ""), "Kind": given.get("kind", ""), "Name": given.get("name", "")}
    return [errors.invalid("roleRef", shown, "cannot change roleRef")]
