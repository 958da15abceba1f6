"""Types and functions as they are written down: `list(A).indexOf(A) -> int`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from apimachinery.cel.types.kinds import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Overload,
    Type,
    list_of,
    map_of,
    object_type,
    optional_of,
    type_of,
)

_PLAIN = {str(each): each for each in (BOOL, BYTES, DOUBLE, DURATION, DYN, INT, NULL, STRING, TIMESTAMP, UINT)}
_PARTS = re.compile(r"[\w.@?\[\]!<>=+\-*/%:&|]+|[(),]")
Cost = Callable[[tuple[Any, ...], Any], int]


@lru_cache(maxsize=1024)
def parse_type(text: str) -> Type:
    """The type that a text spells; one capital is a parameter, a name with a dot one of a library."""
    parts = _PARTS.findall(text)
    made, at = _type(parts, 0)
    if at != len(parts):
        raise ValueError(text)
    return made


def _type(parts: list[str], at: int) -> tuple[Type, int]:
    name = parts[at]
    if at + 1 < len(parts) and parts[at + 1] == "(":
        params: list[Type] = []
        at += 2
        while True:
            param, at = _type(parts, at)
            params.append(param)
            at += 1
            if parts[at - 1] == ")":
                break
        if name == "list":
            return list_of(*params), at
        if name == "map":
            return map_of(*params), at
        if name == "type":
            return type_of(*params), at
        return optional_of(*params), at
    if name in _PLAIN:
        return _PLAIN[name], at + 1
    return (Type("param", name) if len(name) == 1 else object_type(name)), at + 1


def function(
    text: str, run: Callable[..., Any], cost: Cost | None = None, ahead: bool = False, counts: bool = False
) -> Overload:
    """A function as it is written down: `size(string) -> int`, `string.size() -> int`.

    ahead: what a call costs follows from its arguments alone and is asked before it is made. counts: it tells its work.
    """
    head, _, result = text.rpartition(" -> ")
    target, name, inner = _split(head)
    args = tuple(parse_type(part) for part in ([target] if target else []) + _commas(inner))
    return Overload(name, bool(target), args, parse_type(result), run, cost, ahead, counts)


def _split(head: str) -> tuple[str, str, str]:
    """(target, name, arguments): a target ends with the last dot outside of brackets where it is a type."""
    depth, start = 0, len(head)
    for index in range(len(head) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(head[index], 0)
        if depth == 0:
            start = index
            break
    name, inner = head[:start], head[start + 1 : -1]
    if not name.startswith("."):
        target, dot, plain = name.rpartition(".")
        if dot and _is_target(target):
            return target, plain, inner
    return "", name, inner


def _is_target(text: str) -> bool:
    return text in _PLAIN or "(" in text or len(text) == 1 or text.startswith(("kubernetes.", "net."))


def _commas(text: str) -> list[str]:
    found, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            found.append(text[start:index])
            start = index + 1
    return [part.strip() for part in [*found, text[start:]] if part.strip()]
