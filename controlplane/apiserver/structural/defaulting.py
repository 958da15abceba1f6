"""Defaults of a schema, and nulls that mean nothing. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import jsontext
from controlplane.apiserver.structural.node import Structural


def fill(value: Any, schema: Structural | None) -> None:
    """Set, in place, what is absent, or null where it cannot be, and has a default."""
    if schema is None or not schema.fills:
        return
    if isinstance(value, dict):
        for name, default in schema.defaults.items():
            if name not in value or (value[name] is None and not schema.properties[name].nullable):
                value[name] = _copy(default)
        for name, item in value.items():
            part = schema.below(name)
            if part is None:
                continue
            if item is None and name not in schema.properties and not part.nullable:
                value[name] = item = _copy(part.default)
            fill(item, part)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            if item is None and not schema.items.nullable:
                value[index] = item = _copy(schema.items.default)
            fill(item, schema.items)


def drop_nulls(value: Any, schema: Structural | None) -> None:
    """Take away, in place, members that are null, cannot be, and have no default."""
    if schema is None:
        return
    if isinstance(value, dict):
        gone: list[str] = []
        for name, item in value.items():
            if item is None:
                part = schema.below(name)
                if part is not None and not part.nullable and part.default is None:
                    gone.append(name)
            elif isinstance(item, dict | list):
                drop_nulls(item, schema.below(name))
        for name in gone:
            del value[name]
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            if isinstance(item, dict | list):
                drop_nulls(item, schema.items)


def _copy(default: Any) -> Any:
    return jsontext.copied(default) if isinstance(default, dict | list) else default
