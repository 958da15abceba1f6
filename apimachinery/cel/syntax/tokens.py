"""The words of an expression. Pure. Grammar: CEL's language definition (google/cel-spec, doc/langdef.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from apimachinery.cel.syntax.source import Complaints

END = "<EOF>"
_SIGNS = ("==", "!=", "in", "<", "<=", ">=", ">", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?")
_MORE_SIGNS = (":", "+", "*", "/", "%", "true", "false", "null")
_CLASSES = ("NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING", "BYTES", "IDENTIFIER", "ESC_IDENTIFIER")
# In the order in which complaints list them.
_ORDER = {kind: index for index, kind in enumerate((END, *_SIGNS, *_MORE_SIGNS, *_CLASSES))}
_WORDS = ("in", "true", "false", "null")

_ESCAPE = r"\\(?:[abfnrtv\"'\\?`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
_STRING = "|".join(
    (
        rf'"""(?:{_ESCAPE}|[^\\])*?"""',
        rf"'''(?:{_ESCAPE}|[^\\])*?'''",
        rf'"(?:{_ESCAPE}|[^\\"\n\r])*"',
        rf"'(?:{_ESCAPE}|[^\\'\n\r])*'",
        r'[rR]"""(?:.|\n)*?"""',
        r"[rR]'''(?:.|\n)*?'''",
        r'[rR]"[^"\n\r]*"',
        r"[rR]'[^'\n\r]*'",
    )
)
_PATTERNS = tuple(
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        ("", r"[\t \r\n\f]+|//[^\n]*"),
        ("NUM_FLOAT", r"\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?"),
        ("NUM_UINT", r"(?:0x[0-9a-fA-F]+|\d+)[uU]"),
        ("NUM_INT", r"0x[0-9a-fA-F]+|\d+"),
        ("BYTES", rf"[bB](?:{_STRING})"),
        ("STRING", _STRING),
        ("IDENTIFIER", r"[A-Za-z_][A-Za-z0-9_]*"),
        ("ESC_IDENTIFIER", r"`[A-Za-z0-9_.\-/ ]+`"),
        ("sign", r"==|!=|<=|>=|&&|\|\||[<>\[\]{}().,\-!?:+*/%]"),
    )
)
# How far a text goes that began as a word and became none.
_BROKEN = re.compile(
    rf"""[bBrR]{{0,2}}(?:"(?:{_ESCAPE}|[^\\"\n\r])*|'(?:{_ESCAPE}|[^\\'\n\r])*)"""
    r"(?:\\(?:[xX][0-9a-fA-F]?|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7}|[0-3][0-7]?)?.?|.)?"
    r"|`[A-Za-z0-9_.\-/ ]*.?|[&|=].?|.",
    re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """kind: what the grammar knows it as; gap: what stood between the word before it and this one."""

    kind: str
    text: str
    offset: int
    gap: str = ""


def shown(text: str) -> str:
    """A word in a complaint."""
    if text == END:
        return f"'{END}'"
    escaped = text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"'{escaped}'"


def listed(kinds: Iterable[str]) -> str:
    """Kinds of words in a complaint."""
    names = [_named(kind) for kind in sorted(kinds, key=_ORDER.__getitem__)]
    return names[0] if len(names) == 1 else "{" + ", ".join(names) + "}"


def _named(kind: str) -> str:
    return kind if kind in _CLASSES or kind == END else f"'{kind}'"


def tokens(complaints: Complaints) -> list[Token]:
    """All words of a text, the end last. What is none is complained about and left out."""
    text, at, gap = complaints.source.text, 0, ""
    found: list[Token] = []
    while at < len(text):
        kind, end = _longest(text, at)
        if end == at:
            broken = _BROKEN.match(text, at)
            assert broken is not None
            escaped = broken.group().replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
            complaints.add(at, f"Syntax error: token recognition error at: '{escaped}'")
            at, gap = broken.end(), ""
            continue
        word = text[at:end]
        if kind:
            found.append(Token(word if kind == "sign" or word in _WORDS else kind, word, at, gap))
            gap = ""
        else:
            gap += word
        at = end
    found.append(Token(END, END, len(text), gap))
    return found


def _longest(text: str, at: int) -> tuple[str, int]:
    """The kind and the end of the longest word that begins at a place; the first kind of those as long."""
    best, end = "", at
    for kind, pattern in _PATTERNS:
        match = pattern.match(text, at)
        if match is not None and match.end() > end:
            best, end = kind, match.end()
    return best, end
