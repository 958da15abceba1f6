"""May this pod run on this node at all? Asked once, before its first container. Pure.

Source: the kubelet re-checks what the scheduler decided; a static pod was never scheduled.
"""

from __future__ import annotations

from agent import podspec
from agent.podspec import Obj
from agent.status.pod_status import Verdict

_AFFINITY = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"


def refuse(pod: Obj, node: Obj) -> Verdict | None:
    """``node`` is our own Node object, or only its labels where none is known yet."""
    if not _selected(pod, node):
        return Verdict("NodeAffinity", f"Pod was rejected: {_AFFINITY}", started=False)
    wanted_os = (podspec.spec(pod).get("os") or {}).get("name", "linux")
    if wanted_os != "linux":
        text = "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS"
        return Verdict("PodOSNotSupported", text, started=False)
    return None


def _selected(pod: Obj, node: Obj) -> bool:
    labels = (node.get("metadata") or {}).get("labels") or {}
    spec = podspec.spec(pod)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    name = (node.get("metadata") or {}).get("name", "")
    return any(_term(term, labels, name) for term in required.get("nodeSelectorTerms") or ())


def _term(term: Obj, labels: Obj, node_name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    fine = all(_holds(e, labels.get(e["key"])) for e in expressions)
    return fine and all(_holds(f, node_name if f["key"] == "metadata.name" else None) for f in fields)


def _holds(expression: Obj, value: str | None) -> bool:
    operator, values = expression["operator"], expression.get("values") or []
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value is None or value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if value is None or not value.lstrip("-").isdigit() or not values:
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
