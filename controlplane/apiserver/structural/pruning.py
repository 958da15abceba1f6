"""What no schema describes is taken away. Pure.

Source: the reference of x-kubernetes-preserve-unknown-fields, and of fieldValidation for the paths.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.structural.node import META, Structural


def prune(value: Any, schema: Structural | None, whole: bool = True) -> list[str]:
    """Take away, in place, what is not described; the paths of it, sorted, without those of an object's own fields.

    whole: the value is an object of the API, whose own fields stay.
    """
    told: list[str] = []
    if whole and isinstance(value, dict):
        _struct(value, schema or _NOTHING, "", True, told)
    else:
        _prune(value, schema, "", told)
    return sorted(told)


_NOTHING = Structural({})


def _prune(value: Any, schema: Structural | None, path: str, told: list[str]) -> None:
    if isinstance(value, dict):
        if schema is None:
            told += (f"{path}.{name}" if path else name for name in value)
            value.clear()
        else:
            _struct(value, schema, path, schema.embedded, told)
    elif isinstance(value, list):
        items = schema.items if schema is not None else None
        if schema is not None and schema.preserves:
            for index, item in enumerate(value):
                _kept(item, items, f"{path}[{index}]", told)
        else:
            for index, item in enumerate(value):
                if isinstance(item, dict | list):
                    _prune(item, items, f"{path}[{index}]", told)


def _struct(value: dict[str, Any], schema: Structural, path: str, embedded: bool, told: list[str]) -> None:
    properties = schema.properties
    gone: list[str] = []
    for name, item in value.items():
        if embedded and name in META:
            continue
        if name in properties or schema.extensible:
            if isinstance(item, dict | list):
                inner = properties.get(name, schema.more)
                _prune(item, inner, f"{path}.{name}" if path else name, told)
        elif not schema.preserves:
            gone.append(name)
    for name in gone:
        del value[name]
        if path or name not in META:
            told.append(f"{path}.{name}" if path else name)


def _kept(value: Any, schema: Structural | None, path: str, told: list[str]) -> None:
    """An item of a list in which everything stays: what is not described in it stays, too."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            if schema.embedded and name in META:
                continue
            if name in schema.properties or schema.extensible:
                _prune(item, schema.below(name), f"{path}.{name}" if path else name, told)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _kept(item, schema.items, f"{path}[{index}]", told)
