"""Which autoscalers have the same pods: each target's selector, found by a label that its pods must have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apimachinery.selectors import LabelSelector, parse_labels

# Namespace, key and value of a label; selectors that ask for no single value are under the namespace alone.
_Place = tuple[str, str, str]


class Rivals:
    """A question costs by the labels of the pods and those who may have them, not by all autoscalers there are."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, _Place, LabelSelector]] = {}
        self._at: dict[_Place, set[str]] = {}

    def note(self, scaler: str, namespace: str, text: str) -> LabelSelector:
        """Remember the selector of an autoscaler's target, and have it parsed. Raises SelectorError."""
        known = self._known.get(scaler)
        if known is not None and known[0] == text:
            return known[2]
        selector = parse_labels(text)
        self.forget(scaler)
        place = _place(namespace, selector)
        self._known[scaler] = (text, place, selector)
        self._at.setdefault(place, set()).add(scaler)
        return selector

    def forget(self, scaler: str) -> None:
        if (known := self._known.pop(scaler, None)) is not None:
            there = self._at[known[1]]
            there.discard(scaler)
            if not there:
                del self._at[known[1]]

    def others(self, scaler: str, namespace: str, pods: Iterable[Mapping[str, str]]) -> set[str]:
        """The other autoscalers of the namespace that have one of the pods, given by their labels."""
        found: set[str] = set()
        # Pods of one template mostly have the same labels.
        for labels in {tuple(sorted(each.items())): each for each in pods}.values():
            places = ((namespace, "", ""), *((namespace, key, value) for key, value in labels.items()))
            for other in set().union(*(self._at.get(place, ()) for place in places)) - found - {scaler}:
                if self._known[other][2].matches(labels):
                    found.add(other)
        return found


def _place(namespace: str, selector: LabelSelector) -> _Place:
    for each in selector.requirements:
        if each.operator == "in" and len(each.values) == 1:
            return namespace, each.key, next(iter(each.values))
    return namespace, "", ""
