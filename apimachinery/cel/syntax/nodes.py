"""The tree of an expression. Pure.

Every node has its place in the text, and once it is checked its type; a call also the overloads that it may mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apimachinery.cel.types.kinds import ERROR, Overload, Type


@dataclass(eq=False)
class Node:
    offset: int
    type: Type = field(default=ERROR, init=False)

    def children(self) -> Iterator[Node]:
        return iter(())


@dataclass(eq=False)
class Literal(Node):
    value: Any


@dataclass(eq=False)
class Ident(Node):
    """A name; "." at its beginning means the outermost."""

    name: str


@dataclass(eq=False)
class Select(Node):
    """A field of something; tests: whether it is there (`has`). qualified: what it names when its dots are a name's."""

    operand: Node
    field_name: str
    tests: bool = False
    qualified: str = field(default="", init=False)

    def children(self) -> Iterator[Node]:
        yield self.operand


@dataclass(eq=False)
class Call(Node):
    """A function of its arguments, or of a target and arguments."""

    function: str
    target: Node | None
    args: list[Node]
    overloads: tuple[Overload, ...] = field(default=(), init=False)

    def children(self) -> Iterator[Node]:
        if self.target is not None:
            yield self.target
        yield from self.args


@dataclass(eq=False)
class ListNode(Node):
    """A list; optional: which of its elements may turn out to be none."""

    elements: list[Node]
    optional: frozenset[int] = frozenset()

    def children(self) -> Iterator[Node]:
        return iter(self.elements)


@dataclass(eq=False)
class Entry:
    offset: int
    key: Node | str
    value: Node
    optional: bool = False


@dataclass(eq=False)
class MapNode(Node):
    """A map; the keys of its entries are nodes."""

    entries: list[Entry]

    def children(self) -> Iterator[Node]:
        for entry in self.entries:
            assert isinstance(entry.key, Node)
            yield entry.key
            yield entry.value


@dataclass(eq=False)
class Struct(Node):
    """An object of a named type; the keys of its entries are names of fields."""

    name: str
    entries: list[Entry]

    def children(self) -> Iterator[Node]:
        for entry in self.entries:
            yield entry.value


@dataclass(eq=False)
class Fold(Node):
    """A loop over a list or map: what every macro over them becomes. second is "" where there is one variable."""

    over: Node
    first: str
    second: str
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node

    def children(self) -> Iterator[Node]:
        yield from (self.over, self.start, self.condition, self.step, self.result)


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children())


def qualified_name(node: Node) -> str:
    """The dotted name that a chain of selections spells; "" when it is none."""
    names: list[str] = []
    while isinstance(node, Select) and not node.tests:
        names.append(node.field_name)
        node = node.operand
    return ".".join([node.name, *reversed(names)]) if isinstance(node, Ident) else ""
