"""What a quota covers: which objects by its scopes, and what their containers must say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apimachinery.kinds import PERSISTENT_VOLUME_CLAIM, POD, Kind
from apimachinery.objects import Obj
from apimachinery.pods.qos import qos_class
from apimachinery.pods.totals import is_pod_level
from controlplane.apiserver.admission.quota import usage

Selector = tuple[str, str, frozenset[str]]


def selectors(spec: Obj) -> tuple[Selector, ...]:
    """The scopes of a quota's spec as (name, operator, values)."""
    found = [(name, "Exists", frozenset[str]()) for name in spec.get("scopes") or ()]
    for one in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        found.append((one["scopeName"], one["operator"], frozenset(one.get("values") or ())))
    return tuple(found)


def covers(scopes: Iterable[Selector], kind: Kind, obj: Obj) -> bool:
    """Whether an object is within all scopes; kinds without scopes are in none."""
    return all(_within(scope, kind, obj) for scope in scopes)


def _within(scope: Selector, kind: Kind, obj: Obj) -> bool:
    name, operator, values = scope
    if kind is POD:
        if name == "PriorityClass":
            given = obj["spec"].get("priorityClassName")
            return _chosen({given} if given else set(), operator, values)
        return _pod_within(name, obj)
    if kind is PERSISTENT_VOLUME_CLAIM and name == "VolumeAttributesClass":
        return _chosen(set(_attribute_classes(obj)), operator, values)
    return False


def _pod_within(name: str, pod: Obj) -> bool:
    spec = pod["spec"]
    if name in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        return (qos_class(pod["spec"]) == "BestEffort") == (name == "BestEffort")
    return name == "CrossNamespacePodAffinity" and any(_crosses(term) for term in _terms(spec.get("affinity") or {}))


def _terms(affinity: Obj) -> Iterator[Obj]:
    for field in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(field) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for one in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield one.get("podAffinityTerm") or {}


def _crosses(term: Obj) -> bool:
    return bool(term.get("namespaces")) or term.get("namespaceSelector") is not None


def _chosen(given: set[str], operator: str, values: frozenset[str]) -> bool:
    if operator == "Exists":
        return bool(given)
    if operator == "DoesNotExist":
        return not given
    if operator == "In":
        return bool(given & values)
    return not given or bool(given - values)


def _attribute_classes(claim: Obj) -> Iterator[str]:
    status = claim.get("status") or {}
    named = (
        claim["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return (name for name in named if name)


def unsaid(limited: set[str], kind: Kind, obj: Obj) -> str:
    """What the containers of a pod must say and do not, as upstream words it; "" for nothing."""
    if kind is not POD or _speaks_for_all(obj["spec"].get("resources") or {}):
        return ""
    spec = obj["spec"]
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    parts = []
    for name in sorted(limited & usage.MUST_SAY):
        silent = sorted({container["name"] for container in containers if name not in usage.said(container)})
        if silent:
            parts.append(f"{name} for: {','.join(silent)}")
    return f"must specify {'; '.join(parts)}" if parts else ""


def _speaks_for_all(resources: Obj) -> bool:
    """Whether a pod says as a whole what it takes."""
    named = {*(resources.get("requests") or ()), *(resources.get("limits") or ())}
    return any(map(is_pod_level, named))
