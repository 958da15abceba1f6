"""The grammar: an expression's words become its tree. Pure.

Operators bind as in CEL's definition; `&&` and `||` of many terms become balanced trees, which stay shallow.
"""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.cel.syntax import literals
from apimachinery.cel.syntax.macros import expand
from apimachinery.cel.syntax.nodes import Call, Entry, Ident, ListNode, Literal, MapNode, Node, Select, Struct
from apimachinery.cel.syntax.reader import Mismatch, Reader, TooDeep
from apimachinery.cel.syntax.source import Complaints
from apimachinery.cel.syntax.tokens import END, Token
from apimachinery.cel.values.numbers import MAX_INT, MAX_UINT, MIN_INT, UInt

# How long an expression may be, in characters.
MAX_LENGTH = 100_000
_RELATIONS = frozenset(("<", "<=", ">=", ">", "==", "!=", "in"))
_PRODUCTS = frozenset(("*", "/", "%"))
_SUMS = frozenset(("+", "-"))
_OPERATORS = _PRODUCTS | _SUMS
_LITERALS = frozenset(("true", "false", "null", "NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING", "BYTES"))
_PRIMARY = _LITERALS | {"[", "{", "(", ".", "-", "IDENTIFIER"}
_START = _PRIMARY | {"!"}
_MEMBER = frozenset((".", "["))
_FIELD = frozenset(("IDENTIFIER", "ESC_IDENTIFIER"))
_AND, _OR = frozenset(("&&",)), frozenset(("||",))
_NOTHING: frozenset[str] = frozenset()
_RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let"),
        *("loop", "package", "namespace", "null", "return", "true", "var", "void", "while"),
    )
)


def parse(complaints: Complaints, binds: bool = False) -> Node | None:
    """The tree of a text; None where it is none, which is complained about. `binds`: it may use `cel.bind`."""
    size = len(complaints.source.text)
    if size > MAX_LENGTH:
        complaints.add(-1, f"expression code point size exceeds limit: size: {size}, limit {MAX_LENGTH}")
        return None
    grammar = Grammar(complaints, binds)
    try:
        node = grammar.whole()
    except TooDeep:
        return None
    return None if complaints else node


class Grammar:
    """Each method reads one rule. What it makes of words that do not fit is of no use to anybody."""

    def __init__(self, complaints: Complaints, binds: bool = False) -> None:
        self._complaints, self._binds = complaints, binds
        self._words = Reader(complaints)

    def whole(self) -> Node:
        words = self._words
        node: Node = Literal(-1, None)
        with words.rule("start", _NOTHING, True):
            node = self._expression(frozenset((END,)))
            words.match(END, _NOTHING, False)
        return node

    def _wrong(self, offset: int, message: str) -> Node:
        # What the words mean is only looked at where they all fit.
        if not self._words.failed:
            self._complaints.add(offset, message)
        return Literal(offset, None)

    def _call(self, offset: int, function: str, target: Node | None, args: list[Node]) -> Node:
        return expand(Call(offset, function, target, args), self._wrong, self._binds)

    def _expression(self, after: frozenset[str], may_end: bool = False) -> Node:
        words = self._words
        node: Node = Literal(words.word.offset, None)
        with words.rule("expr", after, may_end):
            node = self._either(frozenset("?"))
            if words.kind() == "?":
                sign = words.take()
                then = self._either(frozenset(":"), False)
                words.match(":", _START, False)
                other = self._expression(_NOTHING, True)
                node = self._call(sign.offset, "_?_:_", None, [node, then, other])
        return node

    def _either(self, after: frozenset[str], may_end: bool = True) -> Node:
        return self._terms("||", "_||_", after, may_end)

    def _terms(self, sign: str, function: str, after: frozenset[str], may_end: bool) -> Node:
        words = self._words
        terms: list[Node] = []
        signs: list[Token] = []
        with words.rule(sign, after, may_end):
            while True:
                if sign == "||":
                    terms.append(self._terms("&&", "_&&_", _OR, True))
                else:
                    terms.append(self._relation(_AND))
                if words.kind() != sign:
                    break
                signs.append(words.take())
        return self._balanced(function, terms, signs) if terms else Literal(words.word.offset, None)

    def _balanced(self, function: str, terms: list[Node], signs: list[Token]) -> Node:
        if len(terms) == 1:
            return terms[0]
        middle = len(signs) // 2
        left = self._balanced(function, terms[: middle + 1], signs[:middle])
        right = self._balanced(function, terms[middle + 1 :], signs[middle + 1 :])
        return self._call(signs[middle].offset, function, None, [left, right])

    def _relation(self, after: frozenset[str]) -> Node:
        with self._words.rule("relation", after, True):
            return self._chain("relation", _RELATIONS, self._sum)
        return self._nothing()

    def _sum(self) -> Node:
        with self._words.rule("calc", _RELATIONS, True):
            return self._chain("calc", _SUMS, self._product)
        return self._nothing()

    def _product(self) -> Node:
        return self._chain("calc", _PRODUCTS, self._unary)

    def _chain(self, name: str, signs: frozenset[str], operand: Callable[[], Node]) -> Node:
        """Operands with these signs between them, which bind to the left."""
        words = self._words
        node = operand()
        chained = 0
        while words.kind() in signs:
            sign = words.take()
            words.deeper(name)
            chained += 1
            function = "@in" if sign.kind == "in" else f"_{sign.kind}_"
            node = self._call(sign.offset, function, None, [node, operand()])
        words.shallower(name, chained)
        return node

    def _nothing(self) -> Node:
        """What stands where nothing could be read."""
        return Literal(self._words.word.offset, None)

    def _unary(self) -> Node:
        words = self._words
        node: Node = Literal(words.word.offset, None)
        with words.rule("unary", _OPERATORS, True):
            words.expect(_START)
            sign = words.word
            if sign.kind == "!" or (sign.kind == "-" and words.kind(1) not in ("NUM_INT", "NUM_FLOAT")):
                if sign.kind == "-" and words.kind(1) not in _PRIMARY:
                    start = words.at
                    words.at += 1
                    raise words.no_way(start)
                count = 0
                while words.kind() == sign.kind and not self._negative_number():
                    if count and sign.kind == "-" and words.kind(1) not in _PRIMARY:
                        start = words.at
                        words.at += 1
                        raise words.no_way(start)
                    words.take()
                    count += 1
                    words.repeat(_PRIMARY | {sign.kind})
                node = self._member()
                if count % 2:
                    node = self._call(sign.offset, "!_" if sign.kind == "!" else "-_", None, [node])
            else:
                node = self._member()
        return node

    def _negative_number(self) -> bool:
        return self._words.kind() == "-" and self._words.kind(1) in ("NUM_INT", "NUM_FLOAT")

    def _member(self) -> Node:
        words = self._words
        node = self._primary()
        chained = 0
        while words.kind() in _MEMBER:
            words.deeper("member")
            chained += 1
            node = self._index(node) if words.kind() == "[" else self._dot(node)
        if chained:
            words.shallower("member", chained)
        return node

    def _index(self, node: Node) -> Node:
        words = self._words
        sign = words.take()
        words.expect(_START | {"?"})
        optional = words.kind() == "?"
        if optional:
            words.take()
        index = self._expression(frozenset("]"))
        words.match("]", _MEMBER, True)
        return self._call(sign.offset, "_[?_]" if optional else "_[_]", None, [node, index])

    def _dot(self, node: Node) -> Node:
        words = self._words
        start = words.at
        if words.kind(1) == "IDENTIFIER" and words.kind(2) == "(":
            words.take()
            called, sign = words.take(), words.take()
            return self._call(sign.offset, called.text, node, self._arguments())
        if words.kind(1) not in _FIELD | {"?"}:
            words.at += 1
            raise words.no_way(start)
        sign = words.take()
        optional = words.kind() == "?"
        if optional:
            words.take()
        try:
            words.expect(_FIELD)
        except Mismatch:
            if optional:
                self._complaints.add(words.word.offset, "unsupported ident kind")
            raise
        field = words.take()
        name = self._field_name(field)
        if optional:
            return self._call(sign.offset, "_?._", None, [node, Literal(field.offset, name)])
        return Select(sign.offset, node, name)

    def _field_name(self, word: Token) -> str:
        if word.kind == "ESC_IDENTIFIER":
            self._wrong(word.offset, "unsupported syntax: '`'")
        return word.text

    def _arguments(self) -> list[Node]:
        """The arguments of a call, whose bracket has been read, and the bracket behind them."""
        words = self._words
        words.expect(_START | {")"})
        args: list[Node] = []
        if words.kind() != ")":
            with words.rule("exprList", frozenset(")"), False):
                args.append(self._expression(frozenset(","), True))
                while words.kind() == ",":
                    words.take()
                    args.append(self._expression(frozenset(","), True))
        words.match(")", _NOTHING, True)
        return args

    def _primary(self) -> Node:
        words = self._words
        word = words.word
        node: Node = Literal(word.offset, None)
        with words.rule("primary", _MEMBER, True):
            words.expect(_PRIMARY)
            word = words.word
            if word.kind == "(":
                words.take()
                node = self._expression(frozenset(")"))
                words.match(")", _NOTHING, True)
            elif word.kind == "[":
                node = self._list(words.take())
            elif word.kind == "{":
                node = MapNode(words.take().offset, self._entries(False))
            elif word.kind in (".", "IDENTIFIER"):
                node = self._name()
            else:
                node = self._literal()
        return node

    def _list(self, sign: Token) -> Node:
        words = self._words
        words.expect(_START | {"?", ",", "]"})
        elements: list[Node] = []
        optional: set[int] = set()
        if words.kind() not in (",", "]"):
            with words.rule("listInit", frozenset((",", "]")), False):
                while True:
                    if words.kind() == "?":
                        words.take()
                        optional.add(len(elements))
                    elements.append(self._expression(frozenset(","), True))
                    if words.kind() != "," or words.kind(1) not in _START | {"?"}:
                        break
                    words.take()
        self._close("]")
        return ListNode(sign.offset, elements, frozenset(optional))

    def _close(self, bracket: str) -> None:
        """A comma that may stand behind the last, and the bracket."""
        words = self._words
        words.expect(frozenset((",", bracket)))
        if words.kind() == ",":
            words.take()
        words.match(bracket, _NOTHING, True)

    def _entries(self, fields: bool) -> list[Entry]:
        """The entries of a map or the fields of an object, whose bracket has been read, and the bracket behind."""
        words = self._words
        keys = _FIELD if fields else _START
        words.expect(keys | {"?", ",", "}"})
        found: list[Entry] = []
        if words.kind() not in (",", "}"):
            with words.rule("initializers", frozenset((",", "}")), False):
                while True:
                    optional = words.kind() == "?"
                    if optional:
                        words.take()
                    key: Node | str
                    if fields:
                        words.expect(_FIELD)
                        key = self._field_name(words.take())
                    else:
                        key = self._expression(frozenset(":"))
                    colon = words.match(":", _START, False)
                    value = self._expression(frozenset(","), True)
                    found.append(Entry(colon.offset, key, value, optional))
                    if words.kind() != "," or words.kind(1) not in keys | {"?"}:
                        break
                    words.take()
        self._close("}")
        return found

    def _name(self) -> Node:
        words = self._words
        start = words.at
        leading = words.kind() == "."
        if leading and words.kind(1) != "IDENTIFIER":
            words.at += 1
            raise words.no_way(start)
        ahead = 1 if leading else 0
        names = 1
        while words.kind(ahead + 2 * names - 1) == "." and words.kind(ahead + 2 * names) == "IDENTIFIER":
            names += 1
        if words.kind(ahead + 2 * names - 1) == "{":
            text = "".join(words.take().text for _ in range(ahead + 2 * names - 1))
            return Struct(words.take().offset, text, self._entries(True))
        first = words.word
        if leading:
            words.take()
        word = words.take()
        name = ("." if leading else "") + word.text
        called = words.kind() == "("
        sign = words.take() if called else word
        args = self._arguments() if called else []
        if word.text in _RESERVED:
            return self._wrong(first.offset, f"reserved identifier: {word.text}")
        return self._call(sign.offset, name, None, args) if called else Ident(word.offset, name)

    def _literal(self) -> Node:
        words = self._words
        word = words.take()
        at, text = word.offset, word.text
        if word.kind == "-":
            if words.kind() not in ("NUM_INT", "NUM_FLOAT"):
                raise Mismatch
            word = words.take()
            text += word.text
        try:
            return Literal(at, _value(word.kind, text))
        except ValueError as error:
            name = {"NUM_INT": "int", "NUM_UINT": "uint", "NUM_FLOAT": "double"}.get(word.kind)
            return self._wrong(at, f"invalid {name} literal" if name else str(error))


def _value(kind: str, text: str) -> object:
    if kind == "NUM_INT":
        return literals.whole(text, MIN_INT, MAX_INT)
    if kind == "NUM_UINT":
        return UInt(literals.whole(text[:-1], 0, MAX_UINT))
    if kind == "NUM_FLOAT":
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError(text)
        return value
    if kind == "STRING":
        return literals.string(text)
    if kind == "BYTES":
        return literals.octets(text[1:])
    return {"true": True, "false": False}.get(kind)
