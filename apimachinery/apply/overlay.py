"""Laying a configuration over an object without owning anything: what admission policies do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.apply.merge import merge
from apimachinery.apply.typed import associative, child, granular, problems
from apimachinery.objects import Obj
from apimachinery.schema import Node

__all__ = ["Unmergeable", "overlay"]


class Unmergeable(ValueError):
    """A configuration that cannot be laid over an object; the text is upstream's."""


def overlay(live: Obj, applied: Obj, node: Node) -> Obj:
    """The object with a configuration merged in; parts are shared with the arguments. Raises Unmergeable.

    A part that is owned as a whole cannot be in it: what the configuration does not name of that would be lost.
    """
    if wrong := problems(node, applied):
        raise Unmergeable(f"failed to convert patch object to typed object: {_listed(wrong)}")
    if whole := list(_wholes(node, applied, "")):
        raise Unmergeable(
            f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {', '.join(whole)}"
        )
    merged: Obj = merge(node, live, applied)
    return merged


def _wholes(node: Node | None, value: Any, path: str) -> Iterator[str]:
    """The paths of what is owned as a whole."""
    if node is None:
        return
    if isinstance(value, dict) and node.shape in ("struct", "map"):
        if not granular(node):
            yield path
        for name, inner in value.items():
            yield from _wholes(child(node, name), inner, f"{path}.{name}")
    elif isinstance(value, list) and node.shape == "list":
        if not associative(node):
            yield path
        for index, inner in enumerate(value):
            yield from _wholes(node.element, inner, f"{path}[{index}]")


def _listed(wrong: list[str]) -> str:
    return wrong[0] if len(wrong) == 1 else "errors:\n" + "\n".join(f"  {text}" for text in wrong)
