"""Taking a set of paths out of a value."""

from __future__ import annotations

from typing import Any

from apimachinery.apply import elements
from apimachinery.apply.fieldset import HERE, Fields
from apimachinery.apply.typed import associative, child, element_of, granular
from apimachinery.schema import Node

__all__ = ["remove", "with_parents"]


def remove(node: Node | None, value: Any, gone: Fields) -> Any:
    """The value without the paths of a set; a map or list that loses everything becomes null, but inside of what stays
    it is left empty.
    """
    if not gone or value is None or node is None:
        return value
    if isinstance(value, dict) and (granular(node) or node.shape in ("struct", "map")):
        return _from_map(node, value, gone) if value else None
    if isinstance(value, list):
        return _from_list(node, value, gone) if value else None
    return value


def _from_map(node: Node, value: dict[str, Any], gone: Fields) -> Any:
    if not granular(node):
        return None
    kept = {}
    for name, inner in value.items():
        below = gone.get(elements.field(name))
        if below is None:
            kept[name] = inner
        elif HERE not in below:
            kept[name] = _inside(child(node, name), inner, below)
    return kept or None


def _from_list(node: Node, value: list[Any], gone: Fields) -> Any:
    if not associative(node):
        return None
    kept = []
    for inner in value:
        below = gone.get(element_of(node, inner) or "")
        if below is None:
            kept.append(inner)
        elif HERE not in below:
            kept.append(_inside(node.element, inner, below))
    return kept or None


def _inside(node: Node | None, value: Any, gone: Fields) -> Any:
    left = remove(node, value, gone)
    if left is None and isinstance(value, dict | list):
        return type(value)()
    return left


def with_parents(node: Node | None, fields: Fields) -> Fields:
    """The set and, for every path through a struct's field, that field itself."""
    result: Fields = {}
    for element, below in fields.items():
        if element == HERE:
            result[HERE] = {}
            continue
        inner = _below(node, element)
        grown = with_parents(inner, below)
        named = node is not None and element[:2] == "f:" and element[2:] in node.fields
        if named and inner is not None and grown.keys() - {HERE}:
            grown = {**grown, HERE: {}}
        result[element] = grown
    return result


def _below(node: Node | None, element: str) -> Node | None:
    if node is None:
        return None
    return child(node, element[2:]) if element[:2] == "f:" else node.element
