"""The quick pass over an object: one closure per type, compiled once, that checks, prunes and normalises in place.

It assumes the object is fine and stops at the first surprise; then `diagnosis` walks the object again, slowly, to say
what is wrong in upstream's words. So a good object pays for no path and no message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.schema import scalars
from apimachinery.schema.diagnosis import ZEROS, Findings, diagnose
from apimachinery.schema.node import Node
from apimachinery.schema.presence import Presence, presence

__all__ = ["Findings", "Walker"]

Rule = Callable[[Any], Any]

# What a rule answers for a value that the API does not write back.
DROP = object()

PLAIN = {"string": str, "boolean": bool}


class Surprise(Exception):
    """The object is not as its type says."""


FINE = Findings()
TOO_DEEP = "exceeded max depth"


class Walker:
    """The check of one type."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._walk = _Compiler().rule(node)

    def check(self, obj: Any, merged: bool = False) -> Findings:
        """Check an object against its type, changing it in place to what the API would hold.

        Unknown fields, nulls and zero values that mean nothing are removed, values that are always written are
        filled in, quantities, times and base64 rewritten canonically. With an error in the findings the object is
        left half changed and must not be used. `merged` says that the object came out of a strategic merge or an
        apply, which upstream reads a little more leniently and with other error texts.
        """
        try:
            self._walk(obj)
        except (Surprise, scalars.DecodeError):
            return self._diagnosed(obj, merged)
        except RecursionError:
            return Findings(TOO_DEEP)
        return FINE

    def _diagnosed(self, obj: Any, merged: bool) -> Findings:
        try:
            findings = diagnose(self.node, obj, merged)
            if not findings.error:
                self._walk(obj)
            return findings
        except RecursionError:
            return Findings(TOO_DEEP)


def _integer(low: int, high: int) -> Rule:
    def check(value: Any) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise Surprise
        return value

    return check


def _exactly(wanted: type) -> Rule:
    def check(value: Any) -> Any:
        if type(value) is not wanted:
            raise Surprise
        return value

    return check


def _number(value: Any) -> Any:
    if type(value) is not float and type(value) is not int:
        raise Surprise
    return value


def _time(parse: Callable[[Any], str | None]) -> Rule:
    def check(value: Any) -> Any:
        text = parse(value)
        return DROP if text is None else text

    return check


LEAVES: dict[str, Rule] = {
    "string": _exactly(str),
    "boolean": _exactly(bool),
    "int32": _integer(-(2**31), 2**31 - 1),
    "int64": _integer(-(2**63), 2**63 - 1),
    "number": _number,
    "bytes": scalars.base64_text,
    "quantity": scalars.quantity_text,
    "int-or-string": scalars.int_or_string,
    "time": _time(scalars.timestamp),
    "microtime": _time(scalars.microtime),
    "raw": _exactly(dict),
    "any": lambda value: value,
}


class _Compiler:
    """Builds rules; a type met again, even inside itself, is the same rule."""

    def __init__(self) -> None:
        self.made: dict[Node, Rule] = {}
        self.structs: dict[str, Rule] = {}

    def rule(self, node: Node) -> Rule:
        if node.shape in LEAVES:
            return LEAVES[node.shape]
        if node.shape == "struct" and node.type_name in self.structs:
            return self.structs[node.type_name]
        if node not in self.made:
            self.made[node] = self._compile(node)
        return self.made[node]

    def _compile(self, node: Node) -> Rule:
        if node.shape == "struct":
            return self._struct(node)
        assert node.element is not None
        make = _list if node.shape == "list" else _map
        return make(_or_null(self.rule(node.element), node.element), PLAIN.get(node.element.shape))

    def _struct(self, node: Node) -> Rule:
        plain: dict[str, type] = {}
        rules: dict[str, Rule] = {}
        walk = _struct(plain.get, rules.get, node.preserves_unknown, presence(node))
        if node.type_name:
            self.structs[node.type_name] = walk
        for name, field in node.fields.items():
            if field.shape in PLAIN:
                plain[name] = PLAIN[field.shape]
            else:
                rules[name] = self.rule(field)
        return walk


def _struct(
    plain: Callable[[str], type | None],
    rules: Callable[[str], Rule | None],
    preserves_unknown: bool,
    rule_of_zeros: Presence,
) -> Rule:
    zero_means_absent = rule_of_zeros.dropped
    filled = rule_of_zeros.filled

    def walk(value: Any) -> Any:
        if type(value) is not dict:
            raise Surprise
        dropped = None
        for name, item in value.items():
            if type(item) is plain(name):
                new = item
            else:
                rule = rules(name)
                if item is None and (rule is not None or plain(name) is not None):
                    new = DROP
                elif rule is not None:
                    new = rule(item)
                elif preserves_unknown and plain(name) is None:
                    continue
                else:
                    raise Surprise
            if new is DROP or (not new and name in zero_means_absent):
                dropped = dropped or []
                dropped.append(name)
            elif new is not item:
                value[name] = new
        if dropped:
            for name in dropped:
                del value[name]
        for name, make in filled:
            if name not in value:
                value[name] = make()
        return value

    return walk


def _or_null(rule: Rule, node: Node) -> Rule:
    """The rule of an item: a null stays one where its type has no zero to put in its place."""
    if node.shape == "struct" or node.shape in ZEROS:
        return rule
    return lambda value: None if value is None else rule(value)


def _list(rule: Rule, plain: type | None) -> Rule:
    def walk_plain(value: Any) -> Any:
        if type(value) is not list:
            raise Surprise
        for item in value:
            if type(item) is not plain:
                raise Surprise
        return value

    def walk(value: Any) -> Any:
        if type(value) is not list:
            raise Surprise
        for index, item in enumerate(value):
            new = rule(item)
            if new is not item:
                value[index] = None if new is DROP else new
        return value

    return walk if plain is None else walk_plain


def _map(rule: Rule, plain: type | None) -> Rule:
    def walk_plain(value: Any) -> Any:
        if type(value) is not dict:
            raise Surprise
        for item in value.values():
            if type(item) is not plain:
                raise Surprise
        return value

    def walk(value: Any) -> Any:
        if type(value) is not dict:
            raise Surprise
        for name, item in value.items():
            new = rule(item)
            if new is not item:
                value[name] = None if new is DROP else new
        return value

    return walk if plain is None else walk_plain
