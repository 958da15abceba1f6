"""Which nodes a pod may run on: node selector, required node affinity, taints and tolerations.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ and .../taint-and-toleration/ .
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from apimachinery.objects import Obj


@dataclass(frozen=True)
class Taint:
    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Toleration:
    """A pod's toleration; empty `key` and `effect` cover any, `operator` is Equal unless it says otherwise."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Whether this toleration covers the taint (API: Toleration, empty key with Exists covers all)."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        if self.operator in ("Lt", "Gt"):
            return _compares(self.operator, taint.value, self.value)
        return bool(self.key) and self.value == taint.value


def taints(node: Obj) -> tuple[Taint, ...]:
    """The taints of a v1 Node."""
    found = (node.get("spec") or {}).get("taints") or ()
    return tuple(Taint(t.get("key", ""), t.get("value") or "", t.get("effect", "")) for t in found)


def tolerations(spec: Obj) -> tuple[Toleration, ...]:
    """The tolerations of a PodSpec."""
    return tuple(
        Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")
        for t in spec.get("tolerations") or ()
    )


def untolerated(tolerated: Sequence[Toleration], present: Sequence[Taint], effects: Sequence[str]) -> Taint | None:
    """The first taint with one of the effects that no toleration covers."""
    for taint in present:
        if taint.effect in effects and not any(t.tolerates(taint) for t in tolerated):
            return taint
    return None


@dataclass(frozen=True)
class Requirement:
    """One match expression; `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Node selector semantics: NotIn and DoesNotExist match a missing key, Gt and Lt compare integers."""
        present = self.key in labels
        value = labels.get(self.key, "")
        if self.operator == "In":
            return present and value in self.values
        if self.operator == "NotIn":
            return not present or value not in self.values
        if self.operator == "Exists":
            return present
        if self.operator == "DoesNotExist":
            return not present
        return present and _compares(self.operator, value, self.values[0] if self.values else "")


@dataclass(frozen=True)
class NodeTerm:
    """One nodeSelectorTerm: all requirements hold. A term without any matches nothing."""

    expressions: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node's labels and fields (only metadata.name exists) satisfy the term."""
        if not self.expressions and not self.fields:
            return False
        return all(r.matches(labels) for r in self.expressions) and all(
            r.matches({"metadata.name": name}) for r in self.fields
        )


def node_terms(selector: Obj) -> tuple[NodeTerm, ...]:
    """The alternatives of a v1 NodeSelector."""
    return tuple(node_term(t) for t in selector.get("nodeSelectorTerms") or ())


def node_term(term: Obj) -> NodeTerm:
    """A v1 NodeSelectorTerm."""
    return NodeTerm(_requirements(term.get("matchExpressions")), _requirements(term.get("matchFields")))


def required_terms(spec: Obj) -> tuple[NodeTerm, ...] | None:
    """A PodSpec's required node affinity; None where it has none."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else node_terms(required)


def selects(
    selector: Mapping[str, str], required: Sequence[NodeTerm] | None, name: str, labels: Mapping[str, str]
) -> bool:
    """Whether a node satisfies a pod's nodeSelector and required node affinity."""
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    return required is None or any(term.matches(name, labels) for term in required)


def _requirements(items: Iterable[Obj] | None) -> tuple[Requirement, ...]:
    return tuple(Requirement(r["key"], r["operator"], tuple(r.get("values") or ())) for r in items or ())


def _compares(operator: str, left: str, right: str) -> bool:
    try:
        return int(left) > int(right) if operator == "Gt" else int(left) < int(right)
    except ValueError:
        return False
