"""A value seen as paths: which fields it sets, and whether it is of its type at all.

Structs and maps are granular unless the schema says atomic, lists are atomic unless it says set or map. A value without
a type is as it comes: maps in it are granular, lists are not.
"""

from __future__ import annotations

from typing import Any

from apimachinery.apply.elements import field, item, shown, value_element
from apimachinery.apply.fieldset import HERE, LEAF, Fields
from apimachinery.schema import Node

__all__ = ["NotTyped", "associative", "child", "element_of", "field_set", "granular", "index", "problems"]

NUMBERS = ("int32", "int64", "number")
TEXTS = ("string", "bytes", "time", "microtime")


class NotTyped(ValueError):
    """A value is not of its type; the message is upstream's."""


def granular(node: Node | None) -> bool:
    """Whether a map's members are owned one by one."""
    return node is not None and node.granular


def associative(node: Node | None) -> bool:
    """Whether a list's items are owned one by one."""
    return node is not None and node.shape == "list" and node.list_type in ("map", "set")


def child(node: Node, name: str) -> Node | None:
    """The type of a member."""
    return node.fields.get(name) or node.rest


def element_of(node: Node, value: Any) -> str | None:
    """The path element of a list's item, None when it has none."""
    if node.list_type == "set":
        return value_element(value)
    return item(node.list_map_keys, value, node.element) if isinstance(value, dict) else None


def index(node: Node, values: Any) -> tuple[list[str], dict[str, list[Any]]]:
    """A list's elements in order, and the items of each; items without an element are passed over."""
    elements: list[str] = []
    items: dict[str, list[Any]] = {}
    for value in values or ():
        element = element_of(node, value)
        if element is not None:
            elements.append(element)
            items.setdefault(element, []).append(value)
    return elements, items


def field_set(node: Node | None, value: Any) -> Fields:
    """The paths that a value sets: its leaves, the items of its keyed lists, the keys of its maps."""
    result: Fields = {}
    if isinstance(value, dict) and node is not None and granular(node):
        for name, inner in value.items():
            below = field_set(child(node, name), inner)
            if inner is None or inner == {} or name not in node.fields:
                below = {**below, HERE: {}}
            if below:
                result[field(name)] = below
        return result
    if isinstance(value, list) and node is not None and associative(node):
        for inner in value:
            element = element_of(node, inner)
            if element is not None:
                result[element] = {**field_set(node.element, inner), HERE: {}}
        return result
    if value is None and node is not None and (granular(node) or associative(node)):
        return {}
    return LEAF


def problems(node: Node | None, value: Any, path: str = "", duplicates: bool = False) -> list[str]:
    """What is wrong with a value's types, `.spec.a: expected string, got …`; `duplicates` allows equal items."""
    if value is None or node is None:
        return []
    if node.shape in ("struct", "map") or (node.shape == "raw" and node.rest is not None):
        return _map_problems(node, value, path, duplicates)
    if node.shape == "list":
        return _list_problems(node, value, path, duplicates)
    return _scalar_problems(node.shape, value, path)


def _map_problems(node: Node, value: Any, path: str, duplicates: bool) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: expected map, got &{{{_go(value)}}}"]
    found: list[str] = []
    for name, inner in value.items():
        below = child(node, name)
        if below is None:
            if not node.preserves_unknown:
                found.append(f"{path}.{name}: field not declared in schema")
            continue
        found += problems(below, inner, f"{path}.{name}", duplicates)
    return found


def _list_problems(node: Node, value: Any, path: str, duplicates: bool) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: expected list, got &{{{_go(value)}}}"]
    found: list[str] = []
    seen: set[str] = set()
    for at, inner in enumerate(value):
        place = f"[{at}]"
        if associative(node):
            if node.list_type == "map" and not isinstance(inner, dict):
                what = "a null element" if inner is None else "non-map elements"
                found.append(f"{path}: element {at}: associative list with keys may not have {what}")
                continue
            element = element_of(node, inner)
            if element is None:
                missing = " ".join(f'"{key}"' for key in node.list_map_keys)
                why = f"associative list with keys has an element that omits all key fields [{missing}]"
                why += " (and doesn't have default values for any key fields)"
                found.append(f"{path}: element {at}: {why}")
                continue
            place = shown(element)
            if element in seen and not duplicates:
                found.append(f"{path}: duplicate entries for key {place}")
                continue
            seen.add(element)
        found += problems(node.element, inner, path + place, duplicates)
    return found


def _scalar_problems(shape: str, value: Any, path: str) -> list[str]:
    kind = type(value)
    if shape in NUMBERS and kind not in (int, float):
        return [f"{path}: expected numeric (int or float), got {_kind(value)}"]
    if shape in TEXTS and kind is not str:
        return [f"{path}: expected string, got {_wrapped(value)}"]
    if shape == "boolean" and kind is not bool:
        return [f"{path}: expected boolean, got {_wrapped(value)}"]
    return []


def _wrapped(value: Any) -> str:
    shown_value = f'"{value}"' if isinstance(value, str) else _go(value)
    return f"&value.valueUnstructured{{Value:{shown_value}}}"


def _kind(value: Any) -> str:
    named = {str: "string", bool: "boolean", dict: "map", list: "list"}
    return named.get(type(value), "null")


def _go(value: Any) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
