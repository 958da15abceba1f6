"""The checker: gives every node its type and every call what it may mean, and complains of what fits nothing.

Pure. The rules and their words are those of CEL's reference checker; what keeps lists and maps to one type
is in `literals`.
"""

from __future__ import annotations

from apimachinery.cel.syntax.nodes import (
    Call,
    Fold,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    Struct,
    qualified_name,
)
from apimachinery.cel.syntax.source import Complaints
from apimachinery.cel.types.environment import NAMED_TYPES, Environment
from apimachinery.cel.types.kinds import (
    BOOL,
    DYN,
    ERROR,
    INT,
    Overload,
    Type,
    list_of,
    map_of,
    object_type,
    optional_of,
    type_of,
    unwrapped,
)
from apimachinery.cel.types.unify import Bound, assignable, is_dyn, is_dyn_or_error, most_general, substituted
from apimachinery.cel.values.kinds import literal_type

# Of how many types the type of a value may be made.
_LARGEST = 1000


def check(tree: Node, environment: Environment, complaints: Complaints) -> Type:
    """The type of an expression, with all complaints about it."""
    checker = _Checker(environment, complaints)
    checker.check(tree)
    checker.settle(tree)
    return tree.type


class _Checker:
    def __init__(self, environment: Environment, complaints: Complaints) -> None:
        self._environment = environment
        self._complaints = complaints
        self._scopes: list[dict[str, Type]] = []
        self._bound: Bound = {}
        self._free = 0

    def settle(self, tree: Node) -> None:
        """Types with parameters get what those turned out to be."""
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            node.type = substituted(self._bound, node.type, True)
            waiting.extend(node.children())

    def check(self, node: Node) -> None:
        match node:
            case Literal():
                node.type = literal_type(node.value)
            case Ident():
                found = self._ident(node.name)
                node.type = found if found is not None else self._undeclared(node, node.name)
            case Select():
                self._select(node)
            case Call():
                self._call(node)
            case ListNode():
                self._list(node)
            case MapNode():
                self._map(node)
            case Struct():
                self._struct(node)
            case Fold():
                self._fold(node)
        if node.type.size > _LARGEST:
            # What is made of itself twice, again and again, has a type that nobody could write down.
            self._complaints.add(node.offset, f"type size limit exceeded: {_LARGEST}")
            node.type = ERROR

    def _ident(self, name: str) -> Type | None:
        if name.startswith("."):
            name = name[1:]
        else:
            for scope in reversed(self._scopes):
                if name in scope:
                    return scope[name]
        found = self._environment.variables.get(name)
        if found is not None:
            return found
        if self._environment.types.known(name):
            return type_of(object_type(name))
        named = NAMED_TYPES.get(name)
        return type_of(named) if named is not None else None

    def _undeclared(self, node: Node, name: str) -> Type:
        self._complaints.add(node.offset, f"undeclared reference to '{name}' (in container '')")
        return ERROR

    def _select(self, node: Select) -> None:
        name = qualified_name(node)
        if name:
            found = self._ident(name)
            if found is not None:
                node.type, node.qualified = found, name
                return
        result = self._field(node, node.operand, node.field_name)
        node.type = BOOL if node.tests else substituted(self._bound, result, False)

    def _field(self, node: Node, operand: Node, field: str, optional: bool = False) -> Type:
        self.check(operand)
        target, was_optional = unwrapped(substituted(self._bound, operand.type, False))
        result = ERROR
        if target.kind == "map":
            result = target.params[1]
        elif target.kind == "object":
            result = self._field_type(node.offset, target.name, field) or ERROR
        elif target.kind == "param":
            self._assignable(DYN, target)
            result = DYN
        else:
            if not is_dyn_or_error(target):
                self._complaints.add(node.offset, f"type '{target}' does not support field selection")
            result = DYN
        return optional_of(result) if was_optional or optional else result

    def _field_type(self, offset: int, name: str, field: str) -> Type | None:
        if not self._environment.types.known(name):
            self._complaints.add(offset, f"unexpected failed resolution of '{name}'")
            return None
        found = self._environment.types.field(name, field)
        if found is None:
            self._complaints.add(offset, f"undefined field '{field}'")
        return found

    def _call(self, node: Call) -> None:
        if node.function == "_?._":
            operand, field = node.args
            assert isinstance(field, Literal)
            self.check(field)
            result = self._field(node, operand, field.value, True)
            node.type = substituted(self._bound, result, False)
            node.overloads = self._environment.functions["_?._"]
            return
        for arg in node.args:
            self.check(arg)
        if node.target is None:
            self._resolve(node, node.function)
            return
        prefix = qualified_name(node.target)
        if prefix:
            full = f"{prefix}.{node.function}".removeprefix(".")
            if full in self._environment.functions:
                node.target, node.function = None, full
                self._resolve(node, full)
                return
        self.check(node.target)
        self._resolve(node, node.function)

    def _resolve(self, node: Call, name: str) -> None:
        overloads = self._environment.functions.get(name.removeprefix("."))
        if overloads is None:
            node.type = self._undeclared(node, name)
            return
        name = name.removeprefix(".")
        node.function = name
        args = ([node.target] if node.target is not None else []) + node.args
        if name in ("_&&_", "_||_"):
            self._logic(node, overloads)
            return
        given = tuple(arg.type for arg in args)
        found: list[Overload] = []
        result: Type | None = None
        for overload in overloads:
            if overload.member != (node.target is not None):
                continue
            fresh = {name: self._new() for name in overload.variables}
            wanted = tuple(substituted(fresh, each, False) for each in overload.args)
            if not self._all_assignable(given, wanted):
                continue
            found.append(overload)
            this = substituted(self._bound, substituted(fresh, overload.result, False), False)
            if result is None:
                result = this
            elif not is_dyn(result) and this != result:
                result = DYN
        if result is None:
            shown = [str(substituted(self._bound, each, True)) for each in given]
            target = f"{shown.pop(0)}." if node.target is not None else ""
            signature = f"{target}({', '.join(shown)})"
            self._complaints.add(node.offset, f"found no matching overload for '{name}' applied to '{signature}'")
            node.type = ERROR
            return
        node.type, node.overloads = result, tuple(found)

    def _logic(self, node: Call, overloads: tuple[Overload, ...]) -> None:
        node.type, node.overloads = BOOL, overloads
        for arg in node.args:
            if not self._assignable(arg.type, BOOL):
                self._mismatch(arg, BOOL, arg.type)
                node.type = ERROR

    def _mismatch(self, node: Node, expected: Type, found: Type) -> None:
        self._complaints.add(node.offset, f"expected type '{expected}' but found '{found}'")

    def _optional_value(self, node: Node, optional: bool) -> Type:
        if not optional:
            return node.type
        found, was_optional = unwrapped(node.type)
        if not was_optional and not is_dyn(found):
            self._mismatch(node, optional_of(found), found)
        return found

    def _list(self, node: ListNode) -> None:
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            self.check(element)
            joined = self._join(joined, self._optional_value(element, index in node.optional))
        node.type = list_of(joined if joined is not None else self._new())

    def _map(self, node: MapNode) -> None:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            assert isinstance(entry.key, Node)
            self.check(entry.key)
            key = self._join(key, entry.key.type)
            self.check(entry.value)
            value = self._join(value, self._optional_value(entry.value, entry.optional))
        node.type = map_of(key if key is not None else self._new(), value if value is not None else self._new())

    def _join(self, before: Type | None, now: Type) -> Type:
        if before is None:
            return now
        return most_general(before, now) if self._assignable(before, now) else DYN

    def _struct(self, node: Struct) -> None:
        found = self._ident(node.name)
        if found is None:
            node.type = self._undeclared(node, node.name)
            return
        if found.kind != "type":
            self._complaints.add(node.offset, f"'{found}' is not a type")
        elif found.params[0].kind != "object":
            self._complaints.add(node.offset, f"'{found.params[0]}' is not a message type")
        else:
            node.type = found.params[0]
        for entry in node.entries:
            assert isinstance(entry.key, str)
            self.check(entry.value)
            owner = node.type.name if node.type.kind == "object" else node.name
            wanted = self._field_type(entry.offset, owner, entry.key) or ERROR
            given = self._optional_value(entry.value, entry.optional)
            if not self._assignable(wanted, given):
                self._complaints.add(
                    entry.offset,
                    f"expected type of field '{entry.key}' is '{wanted}' but provided type is '{given}'",
                )

    def _fold(self, node: Fold) -> None:
        self.check(node.over)
        self.check(node.start)
        over = substituted(self._bound, node.over.type, False)
        started = node.start.type
        first, second = self._variables(node, over)
        self._scopes.append({node.accumulator: started})
        self._scopes.append({node.first: first, **({node.second: second} if node.second else {})})
        self.check(node.condition)
        self._assert(node.condition, BOOL)
        self.check(node.step)
        self._assert(node.step, started)
        self._scopes.pop()
        self.check(node.result)
        self._scopes.pop()
        node.type = substituted(self._bound, node.result.type, False)

    def _variables(self, node: Fold, over: Type) -> tuple[Type, Type]:
        if over.kind == "list":
            return (INT, over.params[0]) if node.second else (over.params[0], DYN)
        if over.kind == "map":
            return over.params[0], over.params[1]
        if over.kind in ("dyn", "error", "param"):
            self._assignable(DYN, over)
            return DYN, DYN
        self._complaints.add(
            node.over.offset,
            f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)",
        )
        return ERROR, ERROR

    def _assert(self, node: Node, wanted: Type) -> None:
        if not self._assignable(wanted, node.type):
            self._mismatch(node, wanted, node.type)

    def _assignable(self, wanted: Type, given: Type) -> bool:
        return self._all_assignable((wanted,), (given,))

    def _all_assignable(self, wanted: tuple[Type, ...], given: tuple[Type, ...]) -> bool:
        return assignable(self._bound, wanted, given)

    def _new(self) -> Type:
        self._free += 1
        return Type("param", f"_var{self._free - 1}")
