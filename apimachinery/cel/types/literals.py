"""What is wrong with literals that functions will read: durations, timestamps, regular expressions. Pure."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery import patterns
from apimachinery.cel.syntax.nodes import Call, ListNode, Literal, MapNode, Node, walk
from apimachinery.cel.syntax.source import Complaints
from apimachinery.cel.types.kinds import Type, unwrapped
from apimachinery.cel.values.clauses import FITTING, TAKES, clauses
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.times import parse_duration, parse_timestamp

# How large the programs of an expression's patterns may be together: a fifth of a second of making them. What RE2
# refuses may have taken as long as a large one.
_MOST_PROGRAM, _REFUSED = 500_000, 100_000
_PATTERNS = frozenset(("matches", "find", "findAll"))


def complain_of_literals(tree: Node, complaints: Complaints) -> None:
    """Complains of literals that cannot be read, and of lists and maps of different types."""
    if (large := _too_large(tree)) is not None:
        complaints.add(large.offset, "patterns are too large")
        return
    for node in walk(tree):
        if isinstance(node, Call):
            _read(node, complaints)
            _format(node, complaints)
    _uniform(tree, complaints)


def _too_large(tree: Node) -> Node | None:
    """The pattern with which an expression's patterns become too large."""
    left = _MOST_PROGRAM
    for node in walk(tree):
        if isinstance(node, Call) and node.function in _PATTERNS:
            for arg in node.args:
                if isinstance(arg, Literal) and isinstance(arg.value, str):
                    form = patterns.compiled(arg.value)
                    left -= _REFUSED if form is None else form.programsize
                    if left < 0:
                        return arg
    return None


def unmade(tree: Node) -> str:
    """What is wrong with a literal that is read once for all, a pattern or what is converted; "" if nothing."""
    for node in walk(tree):
        if isinstance(node, Call) and node.function in _CONVERSIONS and len(node.args) == 1:
            arg = node.args[0]
            if isinstance(arg, Literal) and len(node.overloads) == 1:
                try:
                    node.overloads[0].run(arg.value)
                except EvaluationError as error:
                    return str(error)
        if isinstance(node, Call) and node.function in _PATTERNS:
            arg = node.args[1 if node.target is None else 0]
            if isinstance(arg, Literal) and isinstance(arg.value, str) and (wrong := patterns.complaint(arg.value)):
                return wrong
    return ""


def _format(node: Call, complaints: Complaints) -> None:
    """A literal that is filled in with a list that is one."""
    if node.function != "format" or not isinstance(node.target, Literal) or not isinstance(node.args[0], ListNode):
        return
    listed = node.args[0]
    try:
        kinds = clauses(node.target.value)
    except EvaluationError as error:
        complaints.add(node.offset, str(error))
        return
    for index, kind in enumerate(kinds):
        if index >= len(listed.elements):
            complaints.add(node.offset, f"index {index} out of range")
            return
        given = listed.elements[index].type
        if given.kind not in (*FITTING[kind], "dyn"):
            name = "null_type" if given.kind == "null" else given.name or given.kind
            complaints.add(listed.elements[index].offset, f"error during formatting: {TAKES[kind]}, was given {name}")
            return
    if len(kinds) < len(listed.elements):
        complaints.add(
            node.offset,
            f"too many arguments supplied to string.format (expected {len(kinds)}, got {len(listed.elements)})",
        )


def _read(node: Call, complaints: Complaints) -> None:
    check = _READ.get(node.function)
    if check is None or not node.args:
        return
    arg = node.args[0]
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


_CONVERSIONS = frozenset(("bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"))
_READ: dict[str, Callable[[str], bool]] = {
    "duration": _fits(parse_duration),
    "timestamp": _fits(parse_timestamp),
    # What a pattern is looked for in may be the first, too; then it is one that can be compiled, as upstream has it.
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
            keys = [entry.key for entry in node.entries if isinstance(entry.key, Node)]
            _same(keys, frozenset(), complaints, every=True)
            optional = frozenset(index for index, entry in enumerate(node.entries) if entry.optional)
            _same([entry.value for entry in node.entries], optional, complaints, every=True)
        waiting.extend(node.children())


def _same(nodes: list[Node], optional: frozenset[int], complaints: Complaints, every: bool = False) -> None:
    first: Type | None = None
    for index, node in enumerate(nodes):
        given = unwrapped(node.type)[0] if index in optional else node.type
        if first is None:
            first = given
        elif first != given:
            complaints.add(node.offset, f"expected type '{first}' but found '{given}'")
            if not every:
                return
