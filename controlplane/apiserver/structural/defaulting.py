"""Defaults of a schema, and nulls that mean nothing. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import jsontext
from controlplane.apiserver.structural.node import Structural
from controlplane.apiserver.structural.weighing import default_bytes


def fill(value: Any, schema: Structural | None, room: int) -> bool:
    """Set, in place, what is absent, or null where it cannot be, and has a default.

    room: bytes that defaults may come to, for each empty item of a list brings all of its own. False where they would
    be more: the rest is as it was.
    """
    filling = _Filling(room)
    if schema is not None and schema.fills:
        filling.fill(value, schema)
    return filling.room >= 0


class _Filling:
    def __init__(self, room: int) -> None:
        self.room = room

    def fill(self, value: Any, schema: Structural) -> None:
        if not schema.fills or self.room < 0:
            return
        if isinstance(value, dict):
            self._members(value, schema)
        elif isinstance(value, list) and schema.items is not None:
            for index, item in enumerate(value):
                if item is None and not schema.items.nullable:
                    value[index] = item = self._copy(schema.items.default)
                self.fill(item, schema.items)

    def _members(self, value: dict[str, Any], schema: Structural) -> None:
        for name, default in schema.defaults.items():
            if name not in value or (value[name] is None and not schema.properties[name].nullable):
                self.room -= len(name)
                made = self._copy(default)
                if self.room < 0:
                    return
                value[name] = made
        for name, item in value.items():
            part = schema.below(name)
            if part is None:
                continue
            if item is None and name not in schema.properties and not part.nullable:
                value[name] = item = self._copy(part.default)
            self.fill(item, part)

    def _copy(self, default: Any) -> Any:
        """None where there is no room for it."""
        if default is None:
            return None
        self.room -= default_bytes(default)
        if self.room < 0:
            return None
        return jsontext.copied(default) if isinstance(default, dict | list) else default


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
