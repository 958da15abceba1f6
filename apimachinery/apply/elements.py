"""One step of a path: a field, an item of a keyed list, a value of a set, an index; as FieldsV1 spells them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from apimachinery import jsontext
from apimachinery.schema import Node
from apimachinery.schema.presence import presence

__all__ = ["field", "item", "order", "shown", "value_element"]

# The API's lists whose keys have a default when an item leaves one out.
KEY_DEFAULTS = {"protocol": "TCP"}
# A type whose one key, its name, is empty where nobody gives it.
_NAMELESS = "io.k8s.api.core.v1.LocalObjectReference"


def field(name: str) -> str:
    return "f:" + name


def item(keys: tuple[str, ...], value: dict[str, Any], node: Node | None = None) -> str | None:
    """The element of a keyed list's item; None when it has none of the keys. `node` is the item's type."""
    found = {}
    for key in sorted(keys):
        chosen = value.get(key)
        if chosen is None:
            chosen = _default(node, key)
        if chosen is not None:
            found[key] = chosen
    return "k:" + orjson.dumps(found).decode() if found else None


def _default(node: Node | None, key: str) -> Any:
    """What a key is that an item leaves out: its default, or the zero of a field that is always written."""
    part = node.fields.get(key) if node is not None else None
    if part is not None and part.raw.get("default") is not None:
        return part.raw["default"]
    if key in KEY_DEFAULTS:
        return KEY_DEFAULTS[key]
    if node is not None and node.type_name == _NAMELESS:
        return ""
    always = dict(presence(node).filled) if node is not None and node.shape == "struct" else {}
    return always[key]() if key in always else None


def value_element(value: Any) -> str:
    return "v:" + orjson.dumps(value).decode()


@lru_cache(maxsize=65536)
def order(element: str) -> tuple[Any, ...]:
    """The sorting key of an element: fields by name, then items by their keys, then values, then indices. Raises
    ValueError for what is none.
    """
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return (0, text)
    if kind == "k:":
        return (1, tuple((name, _rank(value)) for name, value in sorted(_keys(text).items())))
    if kind == "v:":
        return (2, _rank(_parsed(text)))
    return (3, int(text)) if kind == "i:" and text.lstrip("-").isdigit() else (-1, element)


def _parsed(text: str) -> Any:
    return jsontext.loads(text.encode())


def _keys(text: str) -> dict[str, Any]:
    found = _parsed(text)
    if not isinstance(found, dict):
        raise ValueError(f"no keys of an item: {text}")
    return found


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    return (3, orjson.dumps(value).decode())


@lru_cache(maxsize=4096)
def shown(element: str) -> str:
    """An element as paths in messages have it: `.spec`, `[name="a"]`, `[="x"]`, `[3]`."""
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return "." + text
    if kind == "k:":
        pairs = sorted(_keys(text).items())
        return "[" + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in pairs) + "]"
    return f"[={text}]" if kind == "v:" else f"[{text}]"
