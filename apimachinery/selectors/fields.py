"""Field selectors: "metadata.name=a,status.phase!=Running"; a backslash escapes ",", "=" and itself."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from apimachinery.selectors.errors import SelectorError
from apimachinery.selectors.labeltext import REMEMBERED

__all__ = ["FieldRequirement", "FieldSelector", "check_fields", "parse_fields"]


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


def parse_fields(text: str) -> FieldSelector:
    """The selector of a query parameter: "metadata.name=a,status.phase!=Running"; backslash escapes , = and itself."""
    return (_known if len(text) <= REMEMBERED else _parsed)(text)


def check_fields(text: str) -> None:
    """Read a selector and keep nothing of it, however long it is. Raises SelectorError."""
    deque(_requirements(text), maxlen=0)


def _parsed(text: str) -> FieldSelector:
    return FieldSelector(tuple(_requirements(text)))


def _requirements(text: str) -> Iterator[FieldRequirement]:
    for term in _terms(text):
        split = _FIELD_TERM.match(term)
        if split is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if split[2] == "!=" else "="
        yield FieldRequirement(split[1], operator, _unescape(term[split.end() :]))


_known = lru_cache(maxsize=1024)(_parsed)

_FIELD_TERM = re.compile(r"((?:\\.|[^\\])*?)(!=|==|=)", re.DOTALL)


def _terms(text: str) -> Iterator[str]:
    start, escaped = 0, False
    for index, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == ",":
            if start < index:
                yield text[start:index]
            start = index + 1
    if start < len(text):
        yield text[start:]


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
