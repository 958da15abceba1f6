"""What no schema describes is taken away. Pure.

Source: the reference of x-kubernetes-preserve-unknown-fields, and of fieldValidation for the paths.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.structural.limits import Path, Unknown
from controlplane.apiserver.structural.node import META, Structural


def prune(value: Any, schema: Structural | None, whole: bool = True) -> list[str]:
    """Take away, in place, what is not described; the paths of it, sorted and no more than are told,
    without those of an object's own fields.

    whole: the value is an object of the API, whose own fields stay.
    """
    told = Unknown()
    if whole and isinstance(value, dict):
        _struct(value, schema or _NOTHING, None, True, told)
    else:
        _prune(value, schema, None, told)
    return sorted(told.paths)


_NOTHING = Structural({})


def _prune(value: Any, schema: Structural | None, path: Path, told: Unknown) -> None:
    if isinstance(value, dict):
        if schema is None:
            for name in value:
                told.tell(path, name)
            value.clear()
        else:
            _struct(value, schema, path, schema.embedded, told)
    elif isinstance(value, list):
        items = schema.items if schema is not None else None
        if schema is not None and schema.preserves:
            for index, item in enumerate(value):
                _kept(item, items, (path, f"[{index}]"), told)
        else:
            for index, item in enumerate(value):
                if isinstance(item, dict | list):
                    _prune(item, items, (path, f"[{index}]"), told)


def _struct(value: dict[str, Any], schema: Structural, path: Path, embedded: bool, told: Unknown) -> None:
    properties = schema.properties
    gone: list[str] = []
    for name, item in value.items():
        if embedded and name in META:
            continue
        if name in properties or schema.extensible:
            if isinstance(item, dict | list):
                inner = properties.get(name, schema.more)
                _prune(item, inner, (path, f".{name}"), told)
        elif not schema.preserves:
            gone.append(name)
    for name in gone:
        del value[name]
        if path is not None or name not in META:
            told.tell(path, name)


def _kept(value: Any, schema: Structural | None, path: Path, told: Unknown) -> None:
    """An item of a list in which everything stays: what is not described in it stays, too."""
    if schema is None:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            if schema.embedded and name in META:
                continue
            if name in schema.properties or schema.extensible:
                _prune(item, schema.below(name), (path, f".{name}"), told)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _kept(item, schema.items, (path, f"[{index}]"), told)
