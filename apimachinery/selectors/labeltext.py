"""Label selectors as text: "a=b,c!=d,e in (f,g),h notin (),i,!j,k>1,l<2"."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

from apimachinery.selectors.errors import SelectorError
from apimachinery.selectors.labels import (
    EXISTS,
    GREATER,
    IN,
    LESS,
    NOT_EXISTS,
    NOT_IN,
    LabelSelector,
    Requirement,
    key_complaints,
    requirement,
)

__all__ = ["check_labels", "parse_labels"]


# Characters of a text that is worth remembering: what is made of it has a hundred times as many bytes.
REMEMBERED = 1024


def parse_labels(text: str) -> LabelSelector:
    """The selector of a query parameter: "a=b,c!=d,e in (f,g),h notin (),i,!j,k>1,l<2"."""
    return (_known if len(text) <= REMEMBERED else _parsed)(text)


def check_labels(text: str) -> None:
    """Read a selector and keep nothing of it, however long it is. Raises SelectorError."""
    deque(_LabelParser(text).requirements(), maxlen=0)


def _parsed(text: str) -> LabelSelector:
    return LabelSelector(tuple(sorted(_LabelParser(text).requirements(), key=lambda found: found.key)))


_known = lru_cache(maxsize=1024)(_parsed)

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

    def requirements(self) -> Iterator[Requirement]:
        while token := self.peek():
            if token in _SIGNS and token != "!":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found = self.requirement()
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            yield found
            end = self.take()
            if end == "":
                return
            if end != ",":
                raise SelectorError(f"found '{end}', expected: ',' or 'end of string'")
            following = self.peek()
            if following in _SIGNS and following != "!":
                raise SelectorError(f"found '{following}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        key = self.take()
        absent = key == "!"
        if absent:
            key = self.take()
        if key in _SIGNS:
            raise SelectorError(f"found '{key}', expected: identifier")
        if wrong := key_complaints(key, "<nil>"):
            raise SelectorError(wrong[0])
        if absent:
            return requirement(key, NOT_EXISTS, ())
        if self.peek() in ("", ","):
            return requirement(key, EXISTS, ())
        sign = self.take()
        operator = _OPERATORS.get(sign)
        if operator is None:
            raise SelectorError(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
        values = self.value_list() if sign in ("in", "notin") else self.value()
        return requirement(key, operator, values, sign)

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
