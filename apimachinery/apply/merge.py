"""Merging an applied value into the live one: the applied wins where it speaks, the live stays where it does not."""

from __future__ import annotations

from typing import Any

from apimachinery.apply.typed import associative, child, element_of, granular, index
from apimachinery.schema import Node

__all__ = ["merge"]

ABSENT = object()


def merge(node: Node | None, live: Any, applied: Any) -> Any:
    """The merged value; parts are shared with the arguments."""
    if applied is ABSENT:
        return live
    if live is ABSENT or node is None:
        return applied
    if (
        applied is None
        and live
        and ((isinstance(live, dict) and granular(node)) or (isinstance(live, list) and associative(node)))
    ):
        # A null says no more of what is merged than an empty one: what lies there goes only if it is nobody's.
        return live
    if isinstance(live, dict) and isinstance(applied, dict) and granular(node):
        merged = dict(live)
        for name, value in applied.items():
            merged[name] = merge(child(node, name), live.get(name, ABSENT), value)
        return merged
    if isinstance(live, list) and isinstance(applied, list) and associative(node):
        return _lists(node, live, applied)
    return applied


def _lists(node: Node, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items in the applied order, live ones that nobody applies keeping their place between their neighbours."""
    left, mine = index(node, live)
    right, theirs = index(node, applied)
    items = [value for value in live if element_of(node, value) is not None]
    shared = [element for element in right if element in mine]
    step = 0
    merged: list[Any] = []
    done: set[str] = set()

    def take(element: str) -> None:
        first = mine.get(element, [])
        # A key that stands twice in the live list names neither item: the applied one replaces both.
        live_item = first[0] if len(first) == 1 else ABSENT
        merged.append(merge(node.element, live_item, theirs[element][0]))
        done.add(element)

    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            if left[i] == right[j]:
                take(left[i])
                i, j, step = i + 1, j + 1, step + 1
                continue
            if left[i] in theirs and step < len(shared) and shared[step] != left[i]:
                i += 1
                continue
        if i < len(left):
            if left[i] not in theirs:
                merged.append(items[i])
                i += 1
                continue
            if left[i] in done:
                i += 1
        if j < len(right):
            take(right[j])
            if step < len(shared) and shared[step] == right[j]:
                step += 1
            j += 1
    return merged
