"""A patched object as refusals print it: touched parts with sorted keys, untouched ones as their types have them."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.data import wire_fields
from apimachinery.schema import Node

__all__ = ["told"]

NO_RANK = 1 << 30
FIELD_SETS = "FieldsV1"


def told(old: dict[str, Any], new: Any, node: Node | None) -> str:
    """The JSON text that upstream's patching makes: it takes apart only what a patch reaches into."""
    if not isinstance(new, dict):
        return orjson.dumps(new).decode()
    return orjson.dumps(_touched(old, new, node)).decode()


def _touched(old: dict[str, Any], new: dict[str, Any], node: Node | None) -> dict[str, Any]:
    result = {}
    for name in sorted(new):
        below, before, after = _field(node, name), old.get(name), new[name]
        if isinstance(before, dict) and isinstance(after, dict) and before != after:
            result[name] = _touched(before, after, below)
        else:
            result[name] = _whole(after, below)
    return result


def _whole(value: Any, node: Node | None) -> Any:
    if isinstance(value, list):
        return [_whole(item, node.element if node else None) for item in value]
    if not isinstance(value, dict):
        return value
    if node is not None and node.type_name.endswith(FIELD_SETS):
        # They are written in the order of their elements, in which 80 comes before 443.
        return value
    rank = _ranks(node)
    names = sorted(value, key=lambda name: (rank.get(name, NO_RANK), name))
    return {name: _whole(value[name], _field(node, name)) for name in names}


def _ranks(node: Node | None) -> dict[str, int]:
    message = wire_fields.of_definition(node.type_name) if node is not None and node.shape == "struct" else None
    return {field.name: at for at, field in enumerate(wire_fields.declared(message))} if message else {}


def _field(node: Node | None, name: str) -> Node | None:
    if node is None:
        return None
    return node.fields.get(name) if node.shape == "struct" else node.element
