"""What is wrong with literals that functions will read: durations, timestamps, regular expressions. Pure."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery import patterns
from apimachinery.cel.syntax.nodes import Call, ListNode, Literal, MapNode, Node, walk
from apimachinery.cel.syntax.source import Complaints
from apimachinery.cel.types.kinds import Type, unwrapped
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.times import parse_duration, parse_timestamp


def complain_of_literals(tree: Node, complaints: Complaints) -> None:
    """Complains of literals that cannot be read, and of lists and maps of different types."""
    for node in walk(tree):
        if isinstance(node, Call):
            _read(node, complaints)
    _uniform(tree, complaints)


def _read(node: Call, complaints: Complaints) -> None:
    place = 1 if node.function == "matches" and node.target is None else 0
    check = _READ.get(node.function)
    if check is None or len(node.args) <= place:
        return
    arg = node.args[place]
    if isinstance(arg, Literal) and isinstance(arg.value, str) and not check(arg.value):
        complaints.add(arg.offset, f"invalid {node.function} argument")


def _fits(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return check


_READ: dict[str, Callable[[str], bool]] = {
    "duration": _fits(parse_duration),
    "timestamp": _fits(parse_timestamp),
    "matches": lambda pattern: not patterns.complaint(pattern),
}


def _uniform(tree: Node, complaints: Complaints) -> None:
    """The elements of a list, the keys and the values of a map have one type each; what is formatted may differ."""
    waiting: list[Node] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Call) and node.function == "format":
            continue
        if isinstance(node, ListNode):
            _same(node.elements, node.optional, complaints)
        elif isinstance(node, MapNode):
            _same([entry.key for entry in node.entries if isinstance(entry.key, Node)], frozenset(), complaints)
            optional = frozenset(index for index, entry in enumerate(node.entries) if entry.optional)
            _same([entry.value for entry in node.entries], optional, complaints)
        waiting.extend(node.children())


def _same(nodes: list[Node], optional: frozenset[int], complaints: Complaints) -> None:
    first: Type | None = None
    for index, node in enumerate(nodes):
        given = unwrapped(node.type)[0] if index in optional else node.type
        if first is None:
            first = given
        elif first != given:
            complaints.add(node.offset, f"expected type '{first}' but found '{given}'")
            return
