"""Amounts that are the same and written otherwise: "1Gi" and "1073741824" are no change of an object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery import quantity
from apimachinery.schema.node import Node, kept_with_it

__all__ = ["as_before"]


def as_before(node: Node, new: Any, old: Any) -> Any:
    """The new value of a place as whoever compares it with the old one should see it: amounts that are the same stand
    there as they stood. Never changes `new`, and gives it back where there is nothing of the kind.
    """
    if new is old or type(new) is not type(old) or not _has_amounts(node) or new == old:
        return new
    if node.shape == "quantity":
        return old if quantity.parse(new) == quantity.parse(old) else new
    pairs: Iterable[tuple[Any, Any, Any]]
    if isinstance(new, list):
        pairs = ((index, *pair) for index, pair in enumerate(zip(new, old, strict=False)))
    else:
        pairs = ((key, value, old[key]) for key, value in new.items() if key in old)
    made: Any = None
    for key, value, before in pairs:
        below = node.fields.get(key) if node.shape == "struct" else node.element
        seen = value if below is None else as_before(below, value, before)
        if seen is not value:
            made = new.copy() if made is None else made
            made[key] = seen
    return new if made is None else made


@kept_with_it
def _has_amounts(node: Node) -> bool:
    """Whether there are amounts at a place or anywhere below it."""
    seen, waiting = {node}, [node]
    while waiting:
        one = waiting.pop()
        if one.shape == "quantity":
            return True
        below = [*one.fields.values(), *([one.element] if one.element is not None else [])]
        waiting += [child for child in below if child not in seen]
        seen.update(below)
    return False
