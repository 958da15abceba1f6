"""What a pod says of other pods: spread constraints and (anti-)affinity terms, as frozen values.

Pods of one template share them: most pods are copies, and the values are looked up by their text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import selectors
from apimachinery.objects import Obj, dumps

# Texts whose values are kept; then all are forgotten at once.
REMEMBERED = 2048


@dataclass(frozen=True)
class Spread:
    """One topologySpreadConstraint, its selector merged with matchLabelKeys; `identity`: the selector's text."""

    key: str
    max_skew: int
    selector: selectors.LabelSelector
    hard: bool
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False
    identity: str = ""


@dataclass(frozen=True)
class PodTerm:
    """One pod (anti-)affinity term: it means pods of `namespaces` and those that `namespace_selector` selects."""

    key: str
    selector: selectors.LabelSelector
    namespaces: frozenset[str]
    namespace_selector: selectors.LabelSelector | None
    identity: str
    weight: int = 0

    def selects(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels, in a namespace with these, is meant."""
        return self._means(namespace, namespace_labels) and self.selector.matches(labels)

    def _means(self, namespace: str, namespace_labels: Mapping[str, str]) -> bool:
        if namespace in self.namespaces:
            return True
        return self.namespace_selector is not None and self.namespace_selector.matches(namespace_labels)


@dataclass(frozen=True)
class PodAffinity:
    """A pod's wishes about other pods; only the preferred terms carry a weight (1 to 100)."""

    required: tuple[PodTerm, ...] = ()
    preferred: tuple[PodTerm, ...] = ()
    anti_required: tuple[PodTerm, ...] = ()
    anti_preferred: tuple[PodTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.required or self.preferred or self.anti_required or self.anti_preferred)


NO_AFFINITY = PodAffinity()
_known: dict[Any, Any] = {}


def spreads(spec: Obj, labels: Mapping[str, str]) -> tuple[Spread, ...]:
    """The topology spread constraints of a PodSpec."""
    constraints = spec.get("topologySpreadConstraints")
    if not constraints:
        return ()
    place = (dumps(constraints), _labels_asked(constraints, labels))
    if place not in _known:
        _keep(place, tuple(_spread(c, labels) for c in constraints))
    found: tuple[Spread, ...] = _known[place]
    return found


def pod_affinity(affinity: Obj, namespace: str, labels: Mapping[str, str]) -> PodAffinity:
    """The pod affinity and anti-affinity of a v1 Affinity, for a pod of that namespace with those labels."""
    near, away = affinity.get("podAffinity"), affinity.get("podAntiAffinity")
    if not near and not away:
        return NO_AFFINITY
    place = (dumps([near, away]), namespace, _labels_asked([*_terms(near or {}), *_terms(away or {})], labels))
    if place not in _known:
        _keep(place, PodAffinity(*_both(near or {}, namespace, labels), *_both(away or {}, namespace, labels)))
    found: PodAffinity = _known[place]
    return found


def _keep(place: Any, value: Any) -> None:
    if len(_known) >= REMEMBERED:
        _known.clear()
    _known[place] = value


def _labels_asked(items: Iterable[Obj], labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """The pod's own labels that its terms refer to."""
    keys = {k for item in items for name in ("matchLabelKeys", "mismatchLabelKeys") for k in item.get(name) or ()}
    return frozenset((key, labels[key]) for key in keys if key in labels)


def _terms(part: Obj) -> Iterable[Obj]:
    yield from part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    yield from (p["podAffinityTerm"] for p in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ())


def _both(part: Obj, namespace: str, labels: Mapping[str, str]) -> tuple[tuple[PodTerm, ...], tuple[PodTerm, ...]]:
    required = part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    preferred = part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return (
        tuple(_pod_term(t, namespace, labels) for t in required),
        tuple(_pod_term(p["podAffinityTerm"], namespace, labels, p.get("weight", 0)) for p in preferred),
    )


def _pod_term(term: Obj, namespace: str, labels: Mapping[str, str], weight: int = 0) -> PodTerm:
    names = frozenset(term.get("namespaces") or ())
    chosen = term.get("namespaceSelector")
    if not names and chosen is None:
        names = frozenset((namespace,))
    spaces = None if chosen is None else selectors.from_label_selector(chosen)
    same, different = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    selector = _merged_selector(term.get("labelSelector"), labels, same, different)
    identity = repr((term["topologyKey"], text(selector), sorted(names), spaces and text(spaces), weight))
    return PodTerm(term["topologyKey"], selector, names, spaces, identity, weight)


def _spread(c: Obj, labels: Mapping[str, str]) -> Spread:
    selector = _merged_selector(c.get("labelSelector"), labels, c.get("matchLabelKeys") or ())
    return Spread(
        key=c["topologyKey"],
        max_skew=c["maxSkew"],
        selector=selector,
        hard=c.get("whenUnsatisfiable") != "ScheduleAnyway",
        min_domains=c.get("minDomains") or 1,
        honor_affinity=(c.get("nodeAffinityPolicy") or "Honor") == "Honor",
        honor_taints=c.get("nodeTaintsPolicy") == "Honor",
        identity=text(selector),
    )


def text(selector: selectors.LabelSelector) -> str:
    """A text that only selectors of the same meaning share."""
    return "nothing at all" if selector.impossible else str(selector)


def _merged_selector(
    selector: Obj | None, labels: Mapping[str, str], same: Iterable[str], different: Iterable[str] = ()
) -> selectors.LabelSelector:
    if selector is None:
        return selectors.from_label_selector(None)
    extra = [{"key": k, "operator": "In", "values": [labels[k]]} for k in same if k in labels]
    extra += [{"key": k, "operator": "NotIn", "values": [labels[k]]} for k in different if k in labels]
    merged = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}
    return selectors.from_label_selector(merged)
