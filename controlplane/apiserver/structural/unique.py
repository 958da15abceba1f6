"""Lists whose items differ: by their keys (map), or altogether (set). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import FieldError
from controlplane.apiserver.structural import limits
from controlplane.apiserver.structural.node import Structural
from controlplane.apiserver.structural.reading import untyped

_UNSAID = object()


def check(value: Any, schema: Structural | None, path: str = "") -> list[FieldError]:
    """Items that are there twice, each at the first place where it is there again."""
    if schema is None or not schema.keyed:
        return []
    return limits.first(_check(value, schema, path))


def _check(value: Any, schema: Structural, path: str) -> Iterator[FieldError]:
    if isinstance(value, dict):
        for name in sorted(value):
            part = schema.properties.get(name)
            if part is not None and part.keyed:
                yield from _check(value[name], part, f"{path}.{name}" if path else name)
            elif schema.more is not None and schema.more.keyed:
                yield from _check(value[name], schema.more, f"{path}[{name}]")
    elif isinstance(value, list):
        if schema.list_type == "set":
            yield from (errors.duplicate(f"{path}[{index}]", untyped(value[index])) for index in _again(value))
        elif schema.list_type == "map":
            yield from _by_keys(value, schema.map_keys, path)
        if schema.items is not None and schema.items.keyed:
            for index, item in enumerate(value):
                yield from _check(item, schema.items, f"{path}[{index}]")


def _again(values: list[Any]) -> list[int]:
    """Where something is for the second time. Numbers of two kinds, and true and 1, are two things."""
    seen: dict[Any, int] = {}
    found = []
    for index, value in enumerate(values):
        key = (
            orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if isinstance(value, dict | list) else (type(value), value)
        )
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            found.append(index)
    return found


def _by_keys(values: list[Any], keys: tuple[str, ...], path: str) -> Iterator[FieldError]:
    for index, item in enumerate(values):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            yield errors.invalid(f"{path}[{index}]", untyped(item), text)
            return
    known = [{key: item[key] for key in keys if key in item} if item is not None else {} for item in values]
    told = [next(iter(each.values()), _UNSAID) for each in known] if len(keys) == 1 else known
    yield from (errors.duplicate(f"{path}[{index}]", untyped(known[index])) for index in _again(told))
