"""Label selectors as values: their conditions, their object form, and whether labels match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from apimachinery import formats
from apimachinery.numerals import int64
from apimachinery.selectors.errors import SelectorError

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "LabelSelector",
    "Requirement",
    "from_label_selector",
    "from_map",
    "key_complaints",
    "requirement",
]

IN, NOT_IN, EXISTS, NOT_EXISTS, GREATER, LESS = "in", "notin", "exists", "!", "gt", "lt"

# From more requirements on they are gathered by their keys.
_MANY = 16

_OBJECT_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}


@dataclass(frozen=True)
class Requirement:
    """One condition on a label: operator is one of in, notin, exists, !, gt, lt ("=" is "in" with one value)."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()
    spelling: str = ""

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.operator == IN:
            return self.key in labels and labels[self.key] in self.values
        if self.operator == NOT_IN:
            return self.key not in labels or labels[self.key] not in self.values
        if self.operator == EXISTS:
            return self.key in labels
        if self.operator == NOT_EXISTS:
            return self.key not in labels
        found = int64(labels.get(self.key, ""))
        (bound,) = map(int64, self.values)
        if found is None or bound is None:
            return False
        return found > bound if self.operator == GREATER else found < bound

    def stricter(self, other: Requirement) -> bool:
        """Of two bounds of a kind: whether all that this one lets through the other does, too."""
        ours, theirs = (int64(next(iter(each.values))) for each in (self, other))
        if ours is None or theirs is None:
            return ours is None
        return ours > theirs if self.operator == GREATER else ours < theirs

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == NOT_EXISTS:
            return "!" + self.key
        joined = ",".join(sorted(self.values))
        sign = self.spelling or {GREATER: ">", LESS: "<"}.get(self.operator, self.operator)
        return f"{self.key} {sign} ({joined})" if sign in (IN, NOT_IN) else f"{self.key}{sign}{joined}"


class _ByKey:
    """Many requirements, gathered so that an object costs by how many labels it has, not by how many are asked for."""

    def __init__(self, requirements: Iterable[Requirement]) -> None:
        self._present: set[str] = set()
        self._absent: set[str] = set()
        self._among: dict[str, frozenset[str]] = {}
        self._barred: dict[str, set[str]] = {}
        self._bounds: dict[tuple[str, str], Requirement] = {}
        for each in requirements:
            if each.operator == NOT_EXISTS:
                self._absent.add(each.key)
            elif each.operator == NOT_IN:
                self._barred.setdefault(each.key, set()).update(each.values)
            else:
                self._present.add(each.key)
                self._narrow(each)

    def _narrow(self, each: Requirement) -> None:
        if each.operator == IN:
            self._among[each.key] = self._among.get(each.key, each.values) & each.values
        elif each.operator != EXISTS:
            place = each.key, each.operator
            held = self._bounds.get(place)
            if held is None or each.stricter(held):
                self._bounds[place] = each

    def matches(self, labels: Mapping[str, str]) -> bool:
        if not self._present <= labels.keys() or not labels.keys().isdisjoint(self._absent):
            return False
        for key, value in labels.items():
            if value in self._barred.get(key, ()) or value not in self._among.get(key, (value,)):
                return False
        return all(bound.matches(labels) for bound in self._bounds.values())


@dataclass(frozen=True)
class LabelSelector:
    """All requirements must hold; `impossible` is the selector of nothing at all."""

    requirements: tuple[Requirement, ...] = ()
    impossible: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.impossible:
            return False
        if len(self.requirements) > _MANY:
            return self._by_key.matches(labels or {})
        return all(requirement.matches(labels or {}) for requirement in self.requirements)

    @cached_property
    def _by_key(self) -> _ByKey:
        return _ByKey(self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.requirements and not self.impossible

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(impossible=True)


def from_map(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector of a plain map, as Services and ReplicationControllers carry it; an absent map selects
    everything.
    """
    return LabelSelector(tuple(Requirement(k, IN, frozenset((v,)), "=") for k, v in sorted((labels or {}).items())))


def from_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a `metav1.LabelSelector`: None selects nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    found = list(from_map(selector.get("matchLabels")).requirements)
    for expression in selector.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        found.append(requirement(expression.get("key", ""), operator, expression.get("values") or ()))
    return LabelSelector(tuple(sorted(found, key=lambda requirement: requirement.key)))


def requirement(key: str, operator: str, values: Iterable[str], spelling: str = "") -> Requirement:
    """One checked condition; raises SelectorError."""
    chosen = sorted(set(values))
    complaints = key_complaints(key, "key") + _count_complaints(operator, chosen)
    for index, value in enumerate(chosen):
        if wrong := formats.label_value(value):
            complaints.append(f'values[{index}][{key}]: Invalid value: "{value}": {"; ".join(wrong)}')
    if complaints:
        raise SelectorError(complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]")
    return Requirement(key, operator, frozenset(chosen), spelling)


def key_complaints(key: str, path: str) -> list[str]:
    """What is wrong with a label key, each as `path: Invalid value: …`."""
    wrong = formats.qualified_name(key)
    return [f'{path}: Invalid value: "{key}": {"; ".join(wrong)}'] if wrong else []


def _count_complaints(operator: str, values: list[str]) -> list[str]:
    shown = "[" + ",".join(f'"{value}"' for value in values) + "]"
    if operator in (IN, NOT_IN) and not values:
        return [f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty"]
    if operator in (EXISTS, NOT_EXISTS) and values:
        return [f"values: Invalid value: {shown}: values set must be empty for exists and does not exist"]
    if operator in (GREATER, LESS):
        if len(values) != 1:
            return [f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required"]
        if int64(values[0]) is None:
            what = "for 'Gt', 'Lt' operators, the value must be an integer"
            return [f'values[0]: Invalid value: "{values[0]}": {what}']
    return []
