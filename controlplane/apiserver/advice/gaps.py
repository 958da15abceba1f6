"""What a request asks for that nobody acts on yet, told to whoever writes it. The data is apimachinery/coverage.

The types of a kind are compiled once into a walk that visits only what leads to a listed field, so that telling costs
what the object's own share of such fields costs. An object is looked at as it was sent: what defaults put in was not
asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from apimachinery import coverage
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import Node, Schema, short

# (value, its path) -> sentences
Walk = Callable[[Any, str], Iterator[str]]
_KEY = re.compile(r"(?P<type>[\w.]+)\.(?P<field>\w+)(?:=(?P<value>.+))?", re.ASCII)


class Gaps:
    """ours: whether this project's loops and nodes are what acts on objects here."""

    def __init__(self, ours: bool) -> None:
        self._kinds = dict(coverage.IDLE if ours else {})
        self._rows = _rows(coverage.UNSUPPORTED if ours else {})
        self._walks: dict[tuple[str, str, str], Walk] = {}

    def told(self, kind: Kind, schema: Schema, new: Obj, old: Obj | None = None) -> list[str]:
        """What to say about a new object, or about a change: nothing of what was there before."""
        found = []
        idle = self._kinds.get(kind.resource)
        if idle and (old is None or old.get("spec") != new.get("spec")):
            found.append(f"{kind.kind}: {idle}")
        key = (kind.group, kind.version, kind.plural)
        walk = self._walks.get(key)
        if walk is None:
            walk = self._walks[key] = self._compiled(kind, schema) or _nothing
        fields = list(walk(new, ""))
        if fields and old is not None:
            known = set(walk(old, ""))
            fields = [text for text in fields if text not in known]
        return found + fields

    def _compiled(self, kind: Kind, schema: Schema) -> Walk | None:
        node = schema.node(kind.api_version, kind.kind)
        # The fields of a kind that nobody acts on are told of with it.
        if node is None or kind.resource in self._kinds:
            return None
        return _Compiler(self._rows).walk(node)


def _nothing(value: Any, path: str) -> Iterator[str]:
    return iter(())


Rows = Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]]


def _rows(fields: Mapping[str, str]) -> Rows:
    """type -> field -> (value or "", sentence)."""
    found: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {}
    for key, text in fields.items():
        match = _KEY.fullmatch(key)
        assert match is not None, key
        listed = found.setdefault(match["type"], {})
        row = (match["value"] or "", text)
        listed[match["field"]] = (*listed.get(match["field"], ()), row)
    return found


class _Compiler:
    """Builds the walk of one kind; a type met inside itself is looked at once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._made: dict[str, Walk | None] = {}

    def walk(self, node: Node) -> Walk | None:
        """None: nothing below is listed."""
        if node.shape == "struct":
            if node.type_name not in self._made:
                self._made[node.type_name] = None
                self._made[node.type_name] = self._struct(node)
            return self._made[node.type_name]
        if node.shape not in ("list", "map") or node.element is None:
            return None
        inner = self.walk(node.element)
        if inner is None:
            return None
        return _each(inner) if node.shape == "list" else _each_value(inner)

    def _struct(self, node: Node) -> Walk | None:
        rows = self._rows.get(short(node.type_name), {})
        told = {field: rows[field] for field in node.fields if field in rows}
        below = {field: walk for field, child in node.fields.items() if (walk := self.walk(child)) is not None}
        return _fields(told, below) if told or below else None


def _fields(told: Mapping[str, tuple[tuple[str, str], ...]], below: Mapping[str, Walk]) -> Walk:
    def walk(value: Any, path: str) -> Iterator[str]:
        if type(value) is not dict:
            return
        for field, item in value.items():
            if field in told:
                yield from _said(told[field], item, f"{path}{field}")
            elif item and field in below:
                yield from below[field](item, f"{path}{field}.")

    return walk


def _said(rows: Iterable[tuple[str, str]], item: Any, path: str) -> Iterator[str]:
    for value, text in rows:
        if value:
            if (str(item).lower() if type(item) is bool else str(item)) == value:
                yield f"{path}: {text}"
        elif item:
            yield f"{path}: {text}"


def _each(inner: Walk) -> Walk:
    def walk(value: Any, path: str) -> Iterator[str]:
        if type(value) is list:
            for index, item in enumerate(value):
                yield from inner(item, f"{path[:-1]}[{index}].")

    return walk


def _each_value(inner: Walk) -> Walk:
    def walk(value: Any, path: str) -> Iterator[str]:
        if type(value) is dict:
            for key, item in value.items():
                yield from inner(item, f"{path[:-1]}[{key}].")

    return walk
