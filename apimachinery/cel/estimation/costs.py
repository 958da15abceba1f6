"""What a checked tree can cost: the longest way through it, with everything as large as it can be. Pure.

Source: the cost estimation of CEL's reference implementation, whose figures are part of the API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from apimachinery.cel.estimation.calls import Argument, Estimate, estimated
from apimachinery.cel.estimation.ranges import MOST, NOTHING, ONE, UNKNOWN, Range, fixed
from apimachinery.cel.syntax.macros import RESULT
from apimachinery.cel.syntax.nodes import Call, Fold, Ident, ListNode, Literal, MapNode, Node, Select, Struct
from apimachinery.cel.types.kinds import Type, is_optional

Path = tuple[str, ...]
# How large what lies at a path can be: names of fields, "@items", "@keys", "@values"; the first names the variable.
# None where that is not known.
Sizes = Callable[[Path], Range | None]
_SCALARS = ("bool", "double", "duration", "int", "timestamp", "uint")


@dataclass(frozen=True)
class _Entries:
    """What is in a list or map: the sizes of keys and values."""

    listed: bool
    key: Range
    value: Range

    def union(self, other: _Entries | None) -> _Entries | None:
        if other is None:
            return None
        return replace(self, key=self.key.union(other.key), value=self.value.union(other.value))


@dataclass(frozen=True)
class _Local:
    """A name that a loop gives."""

    path: Path
    size: Range | None
    entries: _Entries | None = None


def cost(tree: Node, sizes: Sizes) -> Range:
    """The least and most that a checked tree costs."""
    return _Coster(sizes).cost(tree)


class _Coster:
    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._paths: dict[Node, Path] = {}
        self._known: dict[Node, Range] = {}
        self._entries: dict[Node, _Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    def cost(self, node: Node) -> Range:
        match node:
            case Ident():
                return self._ident(node, node.name)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListNode():
                return self._list(node)
            case MapNode():
                return self._map(node)
            case Struct():
                total = fixed(40)
                for entry in node.entries:
                    total = total.plus(self.cost(entry.value))
                return total
            case Fold():
                return self._bound(node) if _binds(node) else self._fold(node)
        return NOTHING

    def _local(self, name: str) -> _Local | None:
        known = self._locals.get(name)
        return known[-1] if known else None

    def _ident(self, node: Node, name: str) -> Range:
        local = self._local(name)
        self._paths[node] = local.path if local is not None else (name,)
        return ONE

    def _select(self, node: Select) -> Range:
        if node.qualified:
            return self._ident(node, node.qualified)
        total = self.cost(node.operand)
        if node.tests:
            return total
        if node.operand.type.kind in ("map", "object", "param"):
            total = total.plus(ONE)
        self._paths[node] = (*self._path(node.operand), node.field_name)
        return total

    def _call(self, node: Call) -> Range:
        args = node.args if node.target is None else [node.target, *node.args]
        costs = [self.cost(arg) for arg in args]
        if node.function == "dyn":
            self._copy(node, args[0])
            return costs[0].plus(ONE)
        given = [self._argument(arg) for arg in args]
        spent = NOTHING
        for each in costs:
            spent = spent.plus(each)
        total, size = Range(MOST, 0), None
        for overload in node.overloads:
            if (made := self._special(node, args, costs)) is None:
                found = estimated(overload, given)
                made = Estimate(found.cost.plus(spent), found.size)
                if overload.function == "_+_" and overload.args[0].kind in ("string", "bytes", "list"):
                    first, second = self._entries_of(args[0]), self._entries_of(args[1])
                    self._set_entries(node, first.union(second) if first is not None else None)
            total = total.union(made.cost)
            if made.size is not None:
                size = made.size if size is None else size.union(made.size)
            if node.function == "_[_]" and overload.args[0].kind in ("list", "map"):
                held = self._entries_of(args[0])
                size = held.value if held is not None else None
                step = "@items" if overload.args[0].kind == "list" else "@values"
                self._paths[node] = (*self._path(args[0]), step)
            size = self._size(node) if size is None else size
        if size is not None:
            self._known[node] = size
        return total if node.overloads else NOTHING

    def _special(self, node: Call, args: list[Node], costs: list[Range]) -> Estimate | None:
        """Operators that need not look at all of their arguments."""
        if node.function in ("_&&_", "_||_"):
            return Estimate(Range(costs[0].least, costs[0].plus(costs[1]).most))
        if node.function != "_?_:_":
            return None
        size = self._or_unknown(args[1]).union(self._or_unknown(args[2]))
        first, second = self._entries_of(args[1]), self._entries_of(args[2])
        self._set_entries(node, first.union(second) if first is not None else None)
        return Estimate(costs[0].plus(costs[1].union(costs[2])), size)

    def _argument(self, node: Node) -> Argument:
        element = None
        if node.type.params:
            path = self._path(node)
            element = self._sizes((*path, "@items")) if path else None
        return Argument(node.type, self._size(node), element, node.value if isinstance(node, Literal) else None)

    def _list(self, node: ListNode) -> Range:
        total, size = fixed(10), Range(MOST if node.elements else 0, 0)
        for element in node.elements:
            total = total.plus(self.cost(element))
            size = size.union(self._or_unknown(element))
        self._entries[node] = _Entries(True, ONE, size)
        return total

    def _map(self, node: MapNode) -> Range:
        total = fixed(30)
        key = value = Range(MOST if node.entries else 0, 0)
        for entry in node.entries:
            assert isinstance(entry.key, Node)
            total = total.plus(self.cost(entry.key)).plus(self.cost(entry.value))
            key, value = key.union(self._or_unknown(entry.key)), value.union(self._or_unknown(entry.value))
        self._entries[node] = _Entries(False, key, value)
        return total

    # --- loops ---

    def _fold(self, node: Fold) -> Range:
        total = self.cost(node.over).plus(self.cost(node.start))
        self._push(node.accumulator, self._as_local(node.start))
        for name, local in self._variables(node):
            self._push(name, local)
        looped = self.cost(node.condition)
        looped = self.cost(node.step).plus(looped)
        for name, _ in self._variables(node):
            self._locals[name].pop()
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        count = self._or_unknown(node.over)
        if isinstance(node.start, Literal):
            if (size := self._size(node.start)) is not None:
                self._known[node] = size
        elif isinstance(node.start, ListNode | MapNode):
            self._known[node] = count
            self._set_entries(node, self._entries_of(node.step))
        return total.plus(count.times(looped))

    def _bound(self, node: Fold) -> Range:
        total = self.cost(node.over).plus(self.cost(node.start))
        self._push(node.accumulator, self._as_local(node.start))
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        self._copy(node, node.result)
        return total

    def _as_local(self, node: Node) -> _Local:
        return _Local(self._path(node), self._size(node), self._entries_of(node))

    def _variables(self, node: Fold) -> list[tuple[str, _Local]]:
        held, path = self._entries_of(node.over), self._path(node.over)
        listed = held.listed if held is not None else node.over.type.kind == "list"
        key, value = (held.key, held.value) if held is not None else (None, None)
        values = _Local((*path, "@items" if listed else "@values"), value)
        keys = _Local((*path, "@indices" if listed else "@keys"), key)
        if node.second:
            return [(node.first, keys), (node.second, values)]
        return [(node.first, values if listed else keys)]

    def _push(self, name: str, local: _Local) -> None:
        self._locals.setdefault(name, []).append(local)

    # --- sizes ---

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident) and (local := self._local(node.name)) is not None:
            return local.path
        return self._paths.get(node, ())

    def _or_unknown(self, node: Node) -> Range:
        size = self._size(node)
        return UNKNOWN if size is None else size

    def _size(self, node: Node) -> Range | None:
        if node in self._known:
            return self._known[node]
        match node:
            case Literal():
                return fixed(len(node.value) if isinstance(node.value, str | bytes) else 1)
            case ListNode():
                return fixed(len(node.elements))
            case MapNode():
                return fixed(len(node.entries))
        path = self._path(node)
        if path and (size := self._sizes(path)) is not None:
            self._known[node] = size
            return size
        if _is_scalar(node.type):
            return ONE
        local = self._local(node.name) if isinstance(node, Ident) else None
        return local.size if local is not None else None

    def _entries_of(self, node: Node) -> _Entries | None:
        if node in self._entries:
            return self._entries[node]
        local = self._local(node.name) if isinstance(node, Ident) else None
        return local.entries if local is not None else None

    def _set_entries(self, node: Node, entries: _Entries | None) -> None:
        if entries is not None:
            self._entries[node] = entries

    def _copy(self, to: Node, other: Node) -> None:
        if (size := self._size(other)) is not None:
            self._known[to] = size
        self._set_entries(to, self._entries_of(other))


def _binds(node: Fold) -> bool:
    """Whether a loop only gives a value a name."""
    return (
        isinstance(node.over, ListNode)
        and not node.over.elements
        and isinstance(node.condition, Literal)
        and node.condition.value is False
        and node.accumulator != RESULT
    )


def _is_scalar(given: Type) -> bool:
    return _is_scalar(given.params[0]) if is_optional(given) else given.kind in _SCALARS
