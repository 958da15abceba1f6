"""A patched object as refusals print it: what a patch reached into with sorted keys, the rest as its types have it.

Upstream's patching takes apart what it has to look into, and writes that with its keys sorted; all else stays the text
that it was. `Reached` says what that is: names (or indices, as texts) to what was reached below, or ALL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import orjson

from apimachinery.data import wire_fields
from apimachinery.jsontext import spelled_as_go
from apimachinery.schema import Node

__all__ = ["Reached", "by_json_patch", "by_merge", "told"]

ALL: Literal["all"] = "all"
Reached = dict[str, "Reached"] | Literal["all"]
NO_RANK = 1 << 30
FIELD_SETS = "FieldsV1"
# Names that copies may be reached into by, all in all: a copy of what holds copies has twice as many, each time.
_MOST_COPIED = 50_000


def told(old: dict[str, Any], work: Callable[[dict[str, Any]], Any], reached: Reached, node: Node | None) -> str:
    """The JSON text that upstream's patching makes of `old` by `work`."""
    new = work(_whole(old, node))
    return spelled_as_go(orjson.dumps(_sorted(new, reached))).decode()


def by_merge(patch: Any) -> Reached:
    """What a merge patch reaches: its objects lead on, and whatever else it says is taken apart to the end."""
    return {name: by_merge(value) for name, value in patch.items()} if isinstance(patch, dict) else ALL


def by_json_patch(operations: Iterable[dict[str, Any]]) -> Reached:
    """What operations reach: whatever their paths lead through, and what they compare. A copy is as far reached into as
    what it was made of.
    """
    reached: dict[str, Reached] = {}
    left = _MOST_COPIED
    for operation in operations:
        paths = {
            key: [one.replace("~1", "/").replace("~0", "~") for one in str(operation.get(key, "")).split("/")[1:]]
            for key in ("path", "from")
        }
        for names in paths.values():
            _add(reached, names if operation.get("op") == "test" else names[:-1], operation.get("op") == "test")
        if operation.get("op") == "copy" and (found := _at(reached, paths["from"])) is not None:
            left -= _size(found, left)
            if left > 0:
                _put(reached, paths["path"], _copied(found))
    return reached


def _size(reached: Reached, most: int) -> int:
    """How many names it has, as far as they are no more than that."""
    waiting, size = [reached], 0
    while waiting and size < most:
        one = waiting.pop()
        if isinstance(one, dict):
            size += len(one)
            waiting += one.values()
    return size


def _copied(reached: Reached) -> Reached:
    return {name: _copied(below) for name, below in reached.items()} if isinstance(reached, dict) else reached


def _at(reached: Reached, names: list[str]) -> Reached | None:
    found: Reached | None = reached
    for name in names:
        if found is None or found == ALL:
            return found
        found = found.get(name)
    return found


def _put(reached: Reached, names: list[str], below: Reached) -> None:
    into = _at(reached, names[:-1])
    if names and isinstance(into, dict):
        into[names[-1]] = below


def _add(reached: dict[str, Reached], names: list[str], compared: bool) -> None:
    for at, name in enumerate(names):
        if compared and at == len(names) - 1:
            reached[name] = ALL
            return
        below = reached.setdefault(name, {})
        if not isinstance(below, dict):
            return
        reached = below


def _sorted(value: Any, reached: Reached | None) -> Any:
    if reached is None:
        return value
    if isinstance(value, dict):
        return {name: _sorted(value[name], _below(reached, name)) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item, _below(reached, str(index))) for index, item in enumerate(value)]
    return value


def _below(reached: Reached, name: str) -> Reached | None:
    return reached.get(name) if isinstance(reached, dict) else reached


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
    if not message:
        return {}
    # Whole objects that stand in others begin with their type.
    return {"kind": -2, "apiVersion": -1} | {f.name: at for at, f in enumerate(wire_fields.declared(message))}


def _field(node: Node | None, name: str) -> Node | None:
    if node is None:
        return None
    return node.fields.get(name) if node.shape == "struct" else node.element
