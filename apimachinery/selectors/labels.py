"""Label selectors as values: their conditions, their object form, and whether labels match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == NOT_EXISTS:
            return "!" + self.key
        joined = ",".join(sorted(self.values))
        sign = self.spelling or {GREATER: ">", LESS: "<"}.get(self.operator, self.operator)
        return f"{self.key} {sign} ({joined})" if sign in (IN, NOT_IN) else f"{self.key}{sign}{joined}"


@dataclass(frozen=True)
class LabelSelector:
    """All requirements must hold; `impossible` is the selector of nothing at all."""

    requirements: tuple[Requirement, ...] = ()
    impossible: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.impossible:
            return False
        return all(requirement.matches(labels or {}) for requirement in self.requirements)

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
