"""Paths into what a schema describes, as in ".spec.size" or ".metadata.labels['a']". Pure."""

from __future__ import annotations

import re

from apimachinery.objects import Obj
from controlplane.apiserver.structural.reading import one

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]']+|'")


_ESCAPED = re.compile(r"\\.")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


class PathError(ValueError):
    """It leads nowhere; the text says why."""


def follow(path: str, schema: Obj | None, indexed: bool = True) -> tuple[tuple[str, ...], Obj | None]:
    """The names that a path is made of and the schema it leads to; indexed: whether ['name'] may occur in it.

    Raises PathError.
    """
    steps, found = _follow(path, schema, indexed)
    return tuple(name for name, _ in steps), found


def normalized(path: str, schema: Obj | None) -> str:
    """A path as errors have it: keys of maps in brackets. Raises PathError."""
    steps, _ = _follow(path, schema, True)
    return "".join(f".{name}" if is_field else f"[{name}]" for name, is_field in steps).removeprefix(".")


def _follow(path: str, schema: Obj | None, indexed: bool) -> tuple[list[tuple[str, bool]], Obj | None]:
    """The steps, each with whether it is a field, and where they lead."""
    tokens, steps = _TOKEN.findall(path), list[tuple[str, bool]]()
    while tokens:
        match tokens.pop(0):
            case "[":
                if not indexed:
                    raise PathError("array notation is not allowed")
                name = _next(tokens)
                if len(name) < 2 or name[0] != "'" or name[-1] != "'":
                    raise PathError(f"expected single quoted string but got {name}")
                name = _ESCAPED.sub(_plain, name[1:-1])
                steps.append((name, bool((schema or {}).get("properties"))))
                schema = _below(schema, name)
                if (end := _next(tokens)) != "]":
                    raise PathError(f"expected ] but got {end}")
            case ".":
                name = _next(tokens)
                steps.append((name, bool((schema or {}).get("properties"))))
                schema = _below(schema, name)
            case other:
                raise PathError(f"expected [ or . but got: {other}")
    return steps, schema


def _plain(escape: re.Match[str]) -> str:
    letter = escape[0][1]
    if letter not in _ESCAPES:
        raise PathError(f"invalid string literal: invalid escape char {escape[0]}")
    return _ESCAPES[letter]


def _next(tokens: list[str]) -> str:
    if not tokens:
        raise PathError("unexpected end of JSON path")
    return tokens.pop(0)


def _below(schema: Obj | None, name: str) -> Obj | None:
    properties = (schema or {}).get("properties")
    if properties:
        if name not in properties:
            raise PathError("does not refer to a valid field")
        return one(properties[name])
    if schema is None or schema.get("additionalProperties") is None:
        raise PathError("does not refer to a valid field")
    return one(schema["additionalProperties"])
