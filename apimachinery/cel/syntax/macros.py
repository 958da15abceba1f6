"""Macros: calls that stand for other trees. Pure.

Where they lead is CEL's definition of them; `@result` is what a loop gathers in, which no name of a text can be.
"""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.cel.syntax.nodes import Call, Fold, Ident, ListNode, Literal, MapNode, Node, Select

RESULT = "@result"
MAP_INSERT = "cel.@mapInsert"
# What a macro uses twice.
_TARGET = "@target"
_TAKEN = (RESULT, "__result__")
Wrong = Callable[[int, str], Node]


class _Refused(Exception):
    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


def expand(call: Call, wrong: Wrong, binds: bool = False) -> Node:
    """What a call stands for: another tree where it is a macro, else itself. `binds`: `cel.bind` is one, too."""
    macro = _MACROS.get((call.function, len(call.args), call.target is not None))
    if binds and (call.function, len(call.args)) == ("bind", 3) and _is_cel(call.target):
        macro = _bind
    if macro is None:
        return call
    try:
        return macro(call)
    except _Refused as refused:
        return wrong(refused.at, str(refused))


def _name(node: Node, otherwise: str) -> str:
    if not isinstance(node, Ident):
        raise _Refused(node.offset, otherwise)
    if node.name in _TAKEN:
        raise _Refused(node.offset, "iteration variable overwrites accumulator variable")
    return node.name


def _has(call: Call) -> Node:
    (arg,) = call.args
    if not isinstance(arg, Select) or arg.tests:
        raise _Refused(arg.offset, "invalid argument to has() macro")
    return Select(call.offset, arg.operand, arg.field_name, True)


class _Maker:
    """Makes the nodes of one macro, which stand where its call stands."""

    def __init__(self, call: Call, variables: int, otherwise: str) -> None:
        assert call.target is not None
        self.at, self.target = call.offset, call.target
        names = [_name(arg, otherwise) for arg in call.args[:variables]]
        if variables == 2 and names[0] == names[1]:
            raise _Refused(call.args[1].offset, f"duplicate variable name: {names[0]}")
        self.first, self.second = names[0], names[1] if variables == 2 else ""

    def call(self, function: str, *args: Node) -> Call:
        return Call(self.at, function, None, list(args))

    def result(self) -> Ident:
        return Ident(self.at, RESULT)

    def literal(self, value: object) -> Literal:
        return Literal(self.at, value)

    def fold(self, start: Node, condition: Node, step: Node, result: Node | None = None) -> Fold:
        return Fold(
            self.at, self.target, self.first, self.second, RESULT, start, condition, step, result or self.result()
        )

    def gathering(self, start: Node, step: Node, only: Node | None) -> Fold:
        """A loop that gathers a step, of those for which something holds."""
        if only is not None:
            step = self.call("_?_:_", only, step, self.result())
        return self.fold(start, self.literal(True), step)


def _quantifier(function: str, variables: int) -> Callable[[Call], Node]:
    def expanded(call: Call) -> Node:
        make = _Maker(call, variables, "argument must be a simple name")
        holds = call.args[variables]
        if function == "all":
            condition: Node = make.call("@not_strictly_false", make.result())
            return make.fold(make.literal(True), condition, make.call("_&&_", make.result(), holds))
        if function == "exists":
            condition = make.call("@not_strictly_false", make.call("!_", make.result()))
            return make.fold(make.literal(False), condition, make.call("_||_", make.result(), holds))
        more = make.call("_+_", make.result(), make.literal(1))
        counted = make.call("_?_:_", holds, more, make.result())
        one = make.call("_==_", make.result(), make.literal(1))
        return make.fold(make.literal(0), make.literal(True), counted, one)

    return expanded


def _mapped(variables: int, otherwise: str) -> Callable[[Call], Node]:
    def expanded(call: Call) -> Node:
        make = _Maker(call, variables, otherwise)
        only = call.args[variables] if len(call.args) > variables + 1 else None
        step = make.call("_+_", make.result(), ListNode(make.at, [call.args[-1]]))
        return make.gathering(ListNode(make.at, []), step, only)

    return expanded


def _filter(call: Call) -> Node:
    make = _Maker(call, 1, "argument is not an identifier")
    step = make.call("_+_", make.result(), ListNode(make.at, [call.args[0]]))
    return make.gathering(ListNode(make.at, []), step, call.args[1])


def _transformed_map(entries: bool) -> Callable[[Call], Node]:
    def expanded(call: Call) -> Node:
        make = _Maker(call, 2, "argument must be a simple name")
        only = call.args[2] if len(call.args) == 4 else None
        key = [] if entries else [Ident(make.at, make.first)]
        step = make.call(MAP_INSERT, make.result(), *key, call.args[-1])
        return make.gathering(MapNode(make.at, []), step, only)

    return expanded


def _bound(at: int, name: str, value: Node, result: Node) -> Fold:
    """A tree in which a name stands for a value, which is worked out once."""
    return Fold(at, ListNode(at, []), "#unused", "", name, value, Literal(at, False), Ident(at, name), result)


def _is_cel(target: Node | None) -> bool:
    return isinstance(target, Ident) and target.name == "cel"


def _bind(call: Call) -> Node:
    variable, value, result = call.args
    name = _name(variable, "cel.bind() variable names must be simple identifiers")
    return _bound(call.offset, name, value, result)


def _optional(flat: bool) -> Callable[[Call], Node]:
    def expanded(call: Call) -> Node:
        assert call.target is not None
        at, (variable, body) = call.offset, call.args
        if not isinstance(variable, Ident):
            title = "optFlatMap" if flat else "optMap"
            raise _Refused(variable.offset, f"{title}() variable name must be a simple identifier")
        made: Node = _bound(at, variable.name, Call(at, "value", Ident(at, _TARGET), []), body)
        if not flat:
            made = Call(at, "optional.of", None, [made])
        there = Call(at, "hasValue", Ident(at, _TARGET), [])
        chosen = Call(at, "_?_:_", None, [there, made, Call(at, "optional.none", None, [])])
        return _bound(at, _TARGET, call.target, chosen)

    return expanded


def _sorted_by(call: Call) -> Node:
    assert call.target is not None
    at, values = call.offset, Ident(call.offset, _TARGET)
    keys = _mapped(1, _NO_NAME)(Call(at, "map", Ident(at, _TARGET), call.args))
    return _bound(at, _TARGET, call.target, Call(at, "@sortByAssociatedKeys", values, [keys]))


_NO_NAME = "argument is not an identifier"
_SIMPLE = "argument must be a simple name"
_MACROS: dict[tuple[str, int, bool], Callable[[Call], Node]] = {
    ("has", 1, False): _has,
    **{
        (name, variables + 1, True): _quantifier(name, variables)
        for name in ("all", "exists", "exists_one", "existsOne")
        for variables in (1, 2)
        if (name, variables) != ("existsOne", 1)
    },
    ("map", 2, True): _mapped(1, _NO_NAME),
    ("map", 3, True): _mapped(1, _NO_NAME),
    ("filter", 2, True): _filter,
    ("transformList", 3, True): _mapped(2, _SIMPLE),
    ("transformList", 4, True): _mapped(2, _SIMPLE),
    ("transformMap", 3, True): _transformed_map(False),
    ("transformMap", 4, True): _transformed_map(False),
    ("transformMapEntry", 3, True): _transformed_map(True),
    ("transformMapEntry", 4, True): _transformed_map(True),
    ("optMap", 2, True): _optional(False),
    ("optFlatMap", 2, True): _optional(True),
    ("sortBy", 2, True): _sorted_by,
}
