"""JSON texts as upstream reads them: what it takes, what it refuses, and in which words.

orjson does the work. Only when it refuses is the text looked at again: for what upstream forgives (bytes that are no
UTF-8, lone surrogates), and else for the message of Go's encoding/json scanner.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from apimachinery import jsonpieces

__all__ = ["LARGE", "JsonError", "copied", "loads", "reread", "spelled_as_go", "told", "type_of"]

END = "unexpected end of JSON input"
PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
SPACE = re.compile(r"[ \t\r\n]*")
MAX_DEPTH = 10000
DEPTH = 254
"""What is nested deeper cannot be written again."""
LARGE = 256 * 1024
"""Bytes of a text that is read by pieces: the library would keep everybody else waiting for some milliseconds."""
LITERALS = {"t": "true", "f": "false", "n": "null"}


class JsonError(ValueError):
    """The text is no JSON; the message is upstream's."""


def loads(body: bytes) -> Any:
    """The value of a JSON text; raises JsonError. A large one is read a piece at a time: for a thread beside others."""
    return _either(body, looks=False)[0]


def told(body: bytes) -> tuple[Any, bool]:
    """The same, and whether an object in it may say a key twice."""
    value, repeats = _either(body, looks=True)
    if repeats is None:
        repeats = jsonpieces.may_repeat(body, value)
    return value, repeats


def reread(body: bytes) -> Any:
    """The value of a text that was written here, and so is neither broken nor too deep; large ones as `loads` does."""
    return _parsed(body, looks=False)[0]


def copied(value: Any) -> Any:
    """A private copy of what JSON can say."""
    return reread(orjson.dumps(value))


def _either(body: bytes, looks: bool) -> tuple[Any, bool | None]:
    """The value, and whether a key may be said twice, where that was looked for and is known."""
    try:
        return _read(body, looks)
    except jsonpieces.TooDeep:
        raise JsonError("exceeded max depth") from None
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error) or "Recursion limit" in str(error):
            raise JsonError("exceeded max depth") from None
    except jsonpieces.Broken:
        pass
    try:
        # The scanner looks at bytes, as upstream's does.
        _Scanner(body.decode("latin-1")).document()
    except RecursionError:
        raise JsonError("exceeded max depth") from None
    return _forgiven(body.decode("utf-8", "replace"), looks)


def _read(body: bytes, looks: bool) -> tuple[Any, bool | None]:
    """Raises Broken, TooDeep, JSONDecodeError."""
    value, repeats = _parsed(body, looks)
    if len(body) < LARGE and body.count(b"{") + body.count(b"[") > DEPTH:
        try:
            orjson.dumps(value)
        except TypeError:
            raise jsonpieces.TooDeep from None
    return value, repeats


def _parsed(body: bytes, looks: bool) -> tuple[Any, bool | None]:
    """The value, in whatever depth a small text has, and of a large one, if that is asked, whether it may say a key
    twice.
    """
    if len(body) >= LARGE and body.lstrip()[:1] in (b"{", b"["):
        return jsonpieces.told(body, DEPTH) if looks else (jsonpieces.loads(body, DEPTH), None)
    return orjson.loads(body), None


def _forgiven(text: str, looks: bool) -> tuple[Any, bool | None]:
    """What upstream reads though it is not quite JSON: bytes that are no UTF-8, lone surrogates."""
    for lenient in (text, re.sub(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", r"\\ufffd", text)):
        try:
            return _read(lenient.encode("utf-8", "replace"), looks)
        except (jsonpieces.Broken, orjson.JSONDecodeError) as error:
            why = str(error)
        except jsonpieces.TooDeep:
            raise JsonError("exceeded max depth") from None
    raise JsonError(why)


def type_of(value: Any) -> str:
    """What upstream's decoder calls a value: array, bool, number, object, string, null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


class _Scanner:
    """Walks a text only to find where and why it is no JSON."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def document(self) -> None:
        self.value()
        self.space()
        if self.at < len(self.text):
            raise self.refused("after top-level value")

    def refused(self, where: str) -> JsonError:
        if self.at >= len(self.text):
            return JsonError(END)
        return JsonError(f"invalid character {_quoted(self.text[self.at])} {where}")

    def space(self) -> None:
        match = SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def value(self) -> None:
        self.space()
        first = self.peek()
        if first == '"':
            self.string()
        elif first in ("{", "["):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise JsonError("exceeded max depth")
            self.members() if first == "{" else self.elements()
            self.depth -= 1
        elif first in LITERALS:
            self.literal(LITERALS[first])
        elif first == "-" or (first.isdigit() and first.isascii()):
            self.number()
        else:
            raise self.refused("looking for beginning of value")

    def members(self) -> None:
        self.at += 1
        self.space()
        if self.peek() == "}":
            self.at += 1
            return
        while True:
            self.space()
            if self.peek() != '"':
                raise self.refused("looking for beginning of object key string")
            self.string()
            self.space()
            if self.peek() != ":":
                raise self.refused("after object key")
            self.at += 1
            self.value()
            if self.closed("}", "after object key:value pair"):
                return

    def elements(self) -> None:
        self.at += 1
        self.space()
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            self.value()
            if self.closed("]", "after array element"):
                return

    def closed(self, bracket: str, where: str) -> bool:
        self.space()
        found = self.peek()
        if found not in (",", bracket) or not found:
            raise self.refused(where)
        self.at += 1
        return found == bracket

    def literal(self, word: str) -> None:
        for letter in word:
            if self.peek() != letter:
                raise self.refused(f"in literal {word} (expecting {_quoted(letter)})")
            self.at += 1

    def digits(self, where: str) -> None:
        if not (self.peek().isascii() and self.peek().isdigit()):
            raise self.refused(where)
        while self.peek().isascii() and self.peek().isdigit():
            self.at += 1

    def number(self) -> None:
        if self.peek() == "-":
            self.at += 1
        if self.peek() == "0":
            self.at += 1
        else:
            self.digits("in numeric literal")
        if self.peek() == ".":
            self.at += 1
            self.digits("after decimal point in numeric literal")
        if self.peek() in ("e", "E"):
            self.at += 1
            if self.peek() in ("+", "-"):
                self.at += 1
            self.digits("in exponent of numeric literal")

    def string(self) -> None:
        self.at += 1
        while True:
            plain = PLAIN.match(self.text, self.at)
            self.at = plain.end() if plain else self.at
            letter = self.peek()
            if letter == '"':
                break
            if letter != "\\":
                raise self.refused("in string literal")
            self.at += 1
            self.escape()
        self.at += 1

    def escape(self) -> None:
        letter = self.peek()
        if not letter or letter not in '"\\/bfnrtu':
            raise self.refused("in string escape code")
        self.at += 1
        if letter == "u":
            for _ in range(4):
                digit = self.peek()
                if not digit or digit not in "0123456789abcdefABCDEF":
                    raise self.refused("in \\u hexadecimal character escape")
                self.at += 1


def _quoted(letter: str) -> str:
    """A byte as Go quotes it."""
    if letter == "'":
        return r"'\''"
    if letter == '"':
        return "'\"'"
    if letter > "~":
        shown = f"\\u{ord(letter):04x}" if letter > "\x7f" else "\\x7f"
        return f"'{letter}'" if letter.isprintable() else f"'{shown}'"
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
    if letter in named:
        return f"'{named[letter]}'"
    return f"'{letter}'" if letter.isprintable() else f"'\\x{ord(letter):02x}'"


# What Go's encoder spells out, so that JSON may stand inside of a page or a script.
_SPELLED_OUT = ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e"))
_SEPARATORS = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


def spelled_as_go(text: bytes) -> bytes:
    """Compact JSON with the same characters spelled out as by Go's encoder, whose bytes others compare."""
    for plain, spelled in _SPELLED_OUT if text.isascii() else (*_SPELLED_OUT, *_SEPARATORS):
        if plain in text:
            text = text.replace(plain, spelled)
    return text
