"""Two values of one type: which paths the second adds, changes and lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apimachinery.apply import elements
from apimachinery.apply.fieldset import HERE, LEAF, Fields, union
from apimachinery.apply.typed import NotTyped, associative, child, field_set, granular, index, problems
from apimachinery.objects import alike, unlike
from apimachinery.schema import Node

__all__ = ["Comparison", "compare"]

ABSENT = object()


@dataclass
class Comparison:
    added: Fields = field(default_factory=dict)
    modified: Fields = field(default_factory=dict)
    removed: Fields = field(default_factory=dict)

    @property
    def changed(self) -> Fields:
        return union(self.added, self.modified)

    @property
    def same(self) -> bool:
        return not (self.added or self.modified or self.removed)


def compare(node: Node, old: Any, new: Any) -> Comparison:
    """Raises NotTyped where the item of a keyed list that only one side has, or another, has none of its keys."""
    result = Comparison()
    result.added, result.modified, result.removed = _compare(node, old, new)
    return result


Triple = tuple[Fields, Fields, Fields]
NOTHING: Triple = ({}, {}, {})


Odd = set[tuple[int, int]]
"""Where both sides are equal to Python, what of them is not alike."""


def _compare(node: Node | None, old: Any, new: Any, odd: Odd | None = None) -> Triple:
    if odd is None and old == new:
        # Where there is no type, 1 may become true. Looked for once: who is deep has as much below each level.
        odd = set() if isinstance(old, str) else unlike(old, new)
    if odd is not None and (id(old), id(new)) not in odd:
        return NOTHING
    if old is ABSENT:
        return (_everything(node, new), {}, {})
    if new is ABSENT:
        return ({}, {}, _everything(node, old))
    if node is not None and _descends(node, old, new):
        maps = node.shape != "list"
        return _members(node, old, new, odd) if maps else _items(node, old, new, odd)
    if granular(node):
        # Where a map may stand and one side has none: its parts went, or came, with it.
        return (_parts(node, new), LEAF, _parts(node, old))
    return ({}, LEAF, {})


def _parts(node: Node | None, value: Any) -> Fields:
    """What a map has, itself left out; nothing for what is no map."""
    if not isinstance(value, dict):
        return {}
    return {element: below for element, below in _everything(node, value).items() if element != HERE}


def _descends(node: Node, old: Any, new: Any) -> bool:
    """Whether the parts are compared: both sides of the right form and not both empty."""
    wanted = dict if granular(node) else list if associative(node) else None
    if wanted is None:
        return False
    for side in (old, new):
        if side is not None and not isinstance(side, wanted):
            return False
    return bool(old or new)


def _everything(node: Node | None, value: Any) -> Fields:
    """A value that one side lacks altogether: itself and every part."""
    if node is None or not isinstance(value, (dict, list)):
        return LEAF
    result: Fields = {HERE: {}}
    if isinstance(value, dict) and node.granular:
        for name, inner in value.items():
            # Most of an object are plain values, of every new object: they are not worth a call.
            deep = isinstance(inner, (dict, list))
            result["f:" + name] = _everything(child(node, name), inner) if deep else LEAF
    elif isinstance(value, list) and associative(node):
        items = _indexed(node, value)
        for element, found in items.items():
            result[element] = _everything(node.element, found[0]) if len(found) == 1 else LEAF
    return result


def _indexed(node: Node, values: list[Any]) -> dict[str, list[Any]]:
    found, items = index(node, values)
    if len(found) != len(values):
        raise NotTyped(problems(node, values, duplicates=True)[0])
    return items


def _members(node: Node, old: Any, new: Any, odd: Odd | None) -> Triple:
    left = old if isinstance(old, dict) else {}
    right = new if isinstance(new, dict) else {}
    parts = [
        (elements.field(name), _compare(child(node, name), left.get(name, ABSENT), right.get(name, ABSENT), odd))
        for name in {**left, **right}
    ]
    return _gathered(parts)


def _items(node: Node, old: Any, new: Any, odd: Odd | None) -> Triple:
    left = _indexed(node, old if isinstance(old, list) else [])
    right = _indexed(node, new if isinstance(new, list) else [])
    parts: list[tuple[str, Triple]] = []
    for element in {**left, **right}:
        mine, theirs = left.get(element, []), right.get(element, [])
        if len(mine) > 1 or len(theirs) > 1:
            # Items that the same key names twice cannot be told apart: they change as one.
            are_same = mine == theirs and alike(mine, theirs)
            parts.append((element, NOTHING if are_same else _as_one(node, mine, theirs)))
            continue
        old_item = mine[0] if mine else ABSENT
        parts.append((element, _compare(node.element, old_item, theirs[0] if theirs else ABSENT, odd)))
    return _gathered(parts)


def _as_one(node: Node, old: list[Any], new: list[Any]) -> Triple:
    """Items of one key that stand there more than once, before or after: owned as one value, not by their fields."""
    if not old:
        return ({HERE: {}}, {}, {})
    if not new:
        return ({}, {}, {HERE: {}})
    gained = field_set(node.element, new[0]) if len(new) == 1 else {}
    lost = field_set(node.element, old[0]) if len(old) == 1 else {}
    return gained, {HERE: {}}, {element: below for element, below in lost.items() if element != HERE}


def _gathered(parts: list[tuple[str, Triple]]) -> Triple:
    added: Fields = {}
    modified: Fields = {}
    removed: Fields = {}
    for element, (more, other, less) in parts:
        if more:
            added[element] = more
        if other:
            modified[element] = other
        if less:
            removed[element] = less
    return added, modified, removed
