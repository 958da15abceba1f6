"""One pass over an object that drops empty values, sets defaults and adds the zero values that are always
shown.

Children before parents, as upstream defaults: a parent's rule sees its parts complete.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from apimachinery.objects import Obj
from apimachinery.schema import Node, Schema, short
from apimachinery.schema.presence import TELLING_WHEN_EMPTY
from controlplane.apiserver.defaults import core, empties, others, workloads, zeros

Walk = Callable[[Any], None]

_LITERALS: dict[str, dict[str, Any]] = {**core.LITERALS, **workloads.LITERALS, **others.LITERALS}
_HOOKS: dict[str, Callable[[Obj], None]] = {**core.HOOKS, **workloads.HOOKS, **others.HOOKS}


def apply(obj: Obj) -> None:
    """Complete an object in place. Objects of kinds without a definition are left as they are."""
    walk = _for(obj["apiVersion"], obj["kind"])
    if walk is not None:
        walk(obj)


def settle(obj: Obj) -> None:
    """Turn the empty lists that are always shown into nulls, in place: how they look once stored."""
    walk = _settling(obj["apiVersion"], obj["kind"])
    if walk is not None:
        walk(obj)


def blank(api_version: str, kind: str) -> Obj:
    """A new object of a kind in which nothing is set: what of it is always shown."""
    obj: Obj = {"kind": kind, "apiVersion": api_version}
    walk = _blanking(api_version, kind)
    if walk is not None:
        walk(obj)
    return obj


def bare(obj: Obj) -> None:
    """Take what came empty out of an object that is not kept, in place; no default comes in."""
    walk = _blanking(obj["apiVersion"], obj["kind"])
    if walk is not None:
        walk(obj)


@cache
def _blanking(api_version: str, kind: str) -> Walk | None:
    node = Schema.load().node(api_version, kind)
    return None if node is None else _Compiler(root=node, defaulting=False).struct(node)


@cache
def _settling(api_version: str, kind: str) -> Walk | None:
    node = Schema.load().node(api_version, kind)
    return None if node is None else _Settler(node).walk(node)


@cache
def _for(api_version: str, kind: str) -> Walk | None:
    node = Schema.load().node(api_version, kind)
    return None if node is None else _Compiler(root=node).struct(node)


def _amounts(node: Node) -> bool:
    return node.shape == "map" and node.element is not None and node.element.shape == "quantity"


class _Compiler:
    """Builds the walks of one kind; a type met inside itself is the same walk."""

    def __init__(self, root: Node, defaulting: bool = True) -> None:
        self._root = root
        self._literals, self._hooks = (_LITERALS, _HOOKS) if defaulting else ({}, {})
        self._made: dict[str, list[Walk]] = {}

    def walk(self, node: Node) -> Walk | None:
        """None: nothing to do below."""
        if node.shape == "struct":
            return self.struct(node)
        if node.shape in ("list", "map") and node.element is not None:
            inner = self.walk(node.element)
            if inner is None:
                return None
            return _each(inner) if node.shape == "list" else _each_value(inner)
        return None

    def struct(self, node: Node) -> Walk:
        name = short(node.type_name)
        if name in self._made:
            cell = self._made[name]
            return lambda value: cell[0](value)
        cell = self._made[name] = []
        kids = {field: walk for field, child in node.fields.items() if (walk := self.walk(child))}
        if name.startswith("core."):
            kids |= {field: core.round_amounts for field, child in node.fields.items() if _amounts(child)}
        literals, hook = self._literals.get(name), self._hooks.get(name)
        shown: dict[str, Any] = {}
        structs: list[str] = []
        droppable: dict[str, str] = {}
        for field, child in node.fields.items():
            rule = zeros.rule(name, field, child, field in node.required, node is self._root)
            if rule == zeros.STRUCT:
                structs.append(field)
            elif rule == zeros.SHOWN:
                shown[field] = zeros.zero(name, field, child)
            # An empty list that is always shown belongs to its writer until settle() has it.
            empties = child.shape in ("list", "map") and f"{name}.{field}" not in TELLING_WHEN_EMPTY
            if (empties and not (rule == zeros.SHOWN and child.shape == "list")) or rule == zeros.DROP:
                droppable[field] = rule
            # The zero of a plain value asks for the default, also where it is always written and so was filled in.
            if rule == zeros.SHOWN and field in (literals or {}) and zeros.zero(name, field, child) is not None:
                droppable[field] = rule
        cell.append(_struct(kids, frozenset(droppable), tuple(structs), literals, hook, shown))
        return cell[0]


class _Settler:
    """Builds the walk to the lists that are always shown; types without any are passed by."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self._made: dict[str, Walk | None] = {}

    def walk(self, node: Node) -> Walk | None:
        if node.shape == "struct":
            name = short(node.type_name)
            if name not in self._made:
                # A type inside itself is not looked into again: no such type shows empty lists.
                self._made[name] = None
                self._made[name] = self._struct(name, node)
            return self._made[name]
        if node.shape not in ("list", "map") or node.element is None:
            return None
        inner = self.walk(node.element)
        if inner is None:
            return None
        return _each(inner) if node.shape == "list" else _each_value(inner)

    def _struct(self, name: str, node: Node) -> Walk | None:
        lists = []
        for field, child in node.fields.items():
            rule = zeros.rule(name, field, child, field in node.required, node is self._root)
            if child.shape == "list" and rule == zeros.SHOWN:
                lists.append(field)
        kids = {field: walk for field, child in node.fields.items() if (walk := self.walk(child))}
        return _settle(tuple(lists), tuple(kids.items())) if lists or kids else None


def _settle(lists: tuple[str, ...], kids: tuple[tuple[str, Walk], ...]) -> Walk:
    def walk(value: Any) -> None:
        if type(value) is not dict:
            return
        for field in lists:
            if field in value and not value[field]:
                if value[field] is not None:
                    empties.note(value, field, value[field])
                value[field] = None
        for field, kid in kids:
            inner = value.get(field)
            if inner:
                kid(inner)

    return walk


def _each(inner: Walk) -> Walk:
    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                inner(item)

    return walk


def _each_value(inner: Walk) -> Walk:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                inner(item)

    return walk


def _struct(
    kids: dict[str, Walk],
    droppable: frozenset[str],
    structs: tuple[str, ...],
    literals: dict[str, Any] | None,
    hook: Callable[[Obj], None] | None,
    shown: dict[str, Any],
) -> Walk:
    fixed = tuple((literals or {}).items())
    zero_values = tuple(shown.items())

    def walk(value: Any) -> None:
        if type(value) is not dict:
            return
        for field in structs:
            if field not in value:
                value[field] = {}
        dead = None
        for field, item in value.items():
            if item:
                kid = kids.get(field)
                if kid is not None:
                    kid(item)
            elif item is None or field in droppable:
                dead = dead or []
                dead.append(field)
            elif type(item) is dict:
                kid = kids.get(field)
                if kid is not None:
                    kid(item)
        if dead:
            for field in dead:
                gone = value.pop(field)
                if type(gone) in (list, dict):
                    empties.note(value, field, gone)
        for field, default in fixed:
            if field not in value:
                value[field] = default.copy() if type(default) in (dict, list) else default
        if hook is not None:
            hook(value)
        for field, zero in zero_values:
            if field not in value:
                value[field] = zero

    return walk
