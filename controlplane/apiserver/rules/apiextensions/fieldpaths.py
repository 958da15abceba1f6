"""Paths into what a schema describes, as in ".spec.size" or ".metadata.labels['a']". Pure."""

from __future__ import annotations

import re

from apimachinery.objects import Obj
from controlplane.apiserver.structural.reading import one

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]']+|'")


class PathError(ValueError):
    """It leads nowhere; the text says why."""


def follow(path: str, schema: Obj | None, indexed: bool = True) -> tuple[tuple[str, ...], Obj | None]:
    """The names that a path is made of and the schema it leads to; indexed: whether ['name'] may occur in it.

    Raises PathError.
    """
    tokens, names = _TOKEN.findall(path), list[str]()
    while tokens:
        match tokens.pop(0):
            case "[":
                if not indexed:
                    raise PathError("array notation is not allowed")
                name = _next(tokens)
                if len(name) < 2 or name[0] != "'" or name[-1] != "'":
                    raise PathError(f"expected single quoted string but got {name}")
                schema = _below(schema, name[1:-1].replace("\\'", "'"))
                names.append(name[1:-1])
                if (end := _next(tokens)) != "]":
                    raise PathError(f"expected ] but got {end}")
            case ".":
                name = _next(tokens)
                schema = _below(schema, name)
                names.append(name)
            case other:
                raise PathError(f"expected [ or . but got: {other}")
    return tuple(names), schema


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
