"""Label selectors and field selectors: their text forms, their object form, and whether something
matches.

The grammar is that of the `labelSelector` and `fieldSelector` query parameters; a SelectorError carries
upstream's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apimachinery import formats

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "FieldRequirement",
    "FieldSelector",
    "LabelSelector",
    "Requirement",
    "SelectorError",
    "from_label_selector",
    "from_map",
    "parse_fields",
    "parse_labels",
]

IN, NOT_IN, EXISTS, NOT_EXISTS, GREATER, LESS = "in", "notin", "exists", "!", "gt", "lt"

_OBJECT_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


class SelectorError(ValueError):
    """The selector cannot be understood; the message is upstream's."""


@dataclass(frozen=True)
class Requirement:
    """One condition on a label: operator is one of in, notin, exists, !, gt, lt ("=" is "in" with one
    value).
    """

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
        found = labels.get(self.key, "")
        if not _INTEGER.fullmatch(found):
            return False
        (bound,) = self.values
        return int(found) > int(bound) if self.operator == GREATER else int(found) < int(bound)

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
    return LabelSelector(
        tuple(Requirement(k, IN, frozenset((v,)), "=") for k, v in sorted((labels or {}).items()))
    )


def from_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a `metav1.LabelSelector`: None selects nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    found = list(from_map(selector.get("matchLabels")).requirements)
    for expression in selector.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        found.append(_requirement(expression.get("key", ""), operator, expression.get("values") or ()))
    return LabelSelector(tuple(sorted(found, key=lambda requirement: requirement.key)))


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> LabelSelector:
    """The selector of a query parameter: "a=b,c!=d,e in (f,g),h notin (),i,!j,k>1,l<2"."""
    return LabelSelector(tuple(sorted(_LabelParser(text).requirements(), key=lambda found: found.key)))


def _requirement(key: str, operator: str, values: Iterable[str], spelling: str = "") -> Requirement:
    chosen = sorted(set(values))
    complaints = _key_complaints(key, "key") + _count_complaints(operator, chosen)
    for index, value in enumerate(chosen):
        if wrong := formats.label_value(value):
            complaints.append(f'values[{index}][{key}]: Invalid value: "{value}": {"; ".join(wrong)}')
    if complaints:
        raise SelectorError(complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]")
    return Requirement(key, operator, frozenset(chosen), spelling)


def _key_complaints(key: str, path: str) -> list[str]:
    wrong = formats.qualified_name(key, "a valid label key")
    return [f'{path}: Invalid value: "{key}": {"; ".join(wrong)}'] if wrong else []


def _count_complaints(operator: str, values: list[str]) -> list[str]:
    shown = "[" + ",".join(f'"{value}"' for value in values) + "]"
    if operator in (IN, NOT_IN) and not values:
        return [f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty"]
    if operator in (EXISTS, NOT_EXISTS) and values:
        return [f"values: Invalid value: {shown}: values set must be empty for exists and does not exist"]
    if operator in (GREATER, LESS):
        if len(values) != 1:
            return [
                f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required"
            ]
        if not _INTEGER.fullmatch(values[0]):
            what = "for 'Gt', 'Lt' operators, the value must be an integer"
            return [f'values[0]: Invalid value: "{values[0]}": {what}']
    return []


_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^=!(),<> \t\r\n]+|$)")
_SIGNS = frozenset(("=", "==", "!=", "!", "(", ")", ",", ">", "<", ""))
_OPERATORS = {"in": IN, "notin": NOT_IN, "=": IN, "==": IN, "!=": NOT_IN, ">": GREATER, "<": LESS}


class _LabelParser:
    """A reader of one token ahead. A word is whatever is no sign; the end is the empty token."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while token := self.peek():
            if token in _SIGNS and token != "!":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            end = self.take()
            if end == "":
                return found
            if end != ",":
                raise SelectorError(f"found '{end}', expected: ',' or 'end of string'")
            following = self.peek()
            if following in _SIGNS and following != "!":
                raise SelectorError(f"found '{following}', expected: identifier after ','")
        return found

    def requirement(self) -> Requirement:
        key = self.take()
        absent = key == "!"
        if absent:
            key = self.take()
        if key in _SIGNS:
            raise SelectorError(f"found '{key}', expected: identifier")
        if wrong := _key_complaints(key, "<nil>"):
            raise SelectorError(wrong[0])
        if absent:
            return _requirement(key, NOT_EXISTS, ())
        if self.peek() in ("", ","):
            return _requirement(key, EXISTS, ())
        sign = self.take()
        operator = _OPERATORS.get(sign)
        if operator is None:
            raise SelectorError(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
        values = self.value_list() if sign in ("in", "notin") else self.value()
        return _requirement(key, operator, values, sign)

    def value(self) -> list[str]:
        if self.peek() in ("", ","):
            return [""]
        token = self.take()
        if token in _SIGNS:
            raise SelectorError(f"found '{token}', expected: identifier")
        return [token]

    def value_list(self) -> list[str]:
        token = self.take()
        if token != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        if self.peek() == ")":
            self.take()
            return [""]
        if self.peek() in _SIGNS and self.peek() != ",":
            raise SelectorError(f"found '{self.peek()}', expected: ',', ')' or identifier")
        values = [self.list_item()]
        while (token := self.take()) == ",":
            values.append(self.list_item())
        if token != ")":
            raise SelectorError(f"found '{token}', expected: ',' or ')'")
        return values

    def list_item(self) -> str:
        if self.peek() in (",", ")"):
            return ""
        token = self.take()
        if token in _SIGNS:
            raise SelectorError(f"found '{token}', expected: ',', or identifier")
        return token


@dataclass(frozen=True)
class FieldRequirement:
    """One condition on a field: operator is "=" or "!="."""

    path: str
    operator: str
    value: str


@dataclass(frozen=True)
class FieldSelector:
    """All requirements must hold. Which paths a kind supports is the asker's to check."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.requirements

    def matches(self, getter: Callable[[str], str]) -> bool:
        """`getter` gives a path's value as text, "" where the field is absent."""
        return all((getter(want.path) == want.value) == (want.operator == "=") for want in self.requirements)

    def __str__(self) -> str:
        return ",".join(f"{r.path}{r.operator}{_escape(r.value)}" for r in self.requirements)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> FieldSelector:
    """The selector of a query parameter: "metadata.name=a,status.phase!=Running"; backslash escapes , =
    and itself.
    """
    found = []
    for term in _terms(text):
        split = _FIELD_TERM.match(term)
        if split is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if split[2] == "!=" else "="
        found.append(FieldRequirement(split[1], operator, _unescape(term[split.end() :])))
    return FieldSelector(tuple(found))


_FIELD_TERM = re.compile(r"((?:\\.|[^\\])*?)(!=|==|=)", re.DOTALL)


def _terms(text: str) -> list[str]:
    terms, start, escaped = [], 0, False
    for index, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == ",":
            terms.append(text[start:index])
            start = index + 1
    return [term for term in (*terms, text[start:]) if term]


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)


def _unescape(value: str) -> str:
    plain: list[str] = []
    letters = iter(value)
    for letter in letters:
        if letter == "\\":
            follower = next(letters, "")
            if follower not in ("\\", ",", "=") or not follower:
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{follower}")
            plain.append(follower)
        elif letter in (",", "="):
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(letter)}")
        else:
            plain.append(letter)
    return "".join(plain)
