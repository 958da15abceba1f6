"""What the words of literals mean. Pure."""

from __future__ import annotations

import re

_PLAIN = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34, "`": 96, "?": 63}
_ESCAPED = re.compile(r"\\(?:([xX])(..)|u(....)|U(........)|([0-3]..)|(.))", re.DOTALL)
_SURROGATES = range(0xD800, 0xE000)


def body(word: str) -> tuple[str, bool]:
    """What stands between the quotes, and whether it is raw."""
    raw = word[0] in "rR"
    word = word[1:] if raw else word
    quotes = 3 if len(word) >= 6 and word[:3] in ('"""', "'''") else 1
    return word[quotes:-quotes].replace("\r\n", "\n").replace("\r", "\n"), raw


def string(word: str) -> str:
    """The text of a string literal. Raises ValueError."""
    inner, raw = body(word)
    return inner if raw or "\\" not in inner else _ESCAPED.sub(lambda match: _letter(_code(match)), inner)


def octets(word: str) -> bytes:
    """The bytes of a bytes literal, its b cut off. Raises ValueError."""
    inner, raw = body(word)
    if raw or "\\" not in inner:
        return inner.encode()
    made, at = b"", 0
    for match in _ESCAPED.finditer(inner):
        if match[3] or match[4]:
            raise ValueError("unable to unescape string")
        made += inner[at : match.start()].encode() + bytes((_code(match),))
        at = match.end()
    return made + inner[at:].encode()


def _code(match: re.Match[str]) -> int:
    if match[6]:
        return _PLAIN[match[6]]
    return int(match[5], 8) if match[5] else int(match[2] or match[3] or match[4], 16)


def _letter(code: int) -> str:
    if code > 0x10FFFF or code in _SURROGATES:
        raise ValueError("invalid unicode code point")
    return chr(code)


def whole(word: str, low: int, high: int) -> int:
    """A whole number, its sign before it, of a range. Raises ValueError."""
    sign, digits = (-1, word[1:]) if word.startswith("-") else (1, word)
    number = sign * (int(digits[2:], 16) if digits.startswith("0x") else int(digits))
    if not low <= number <= high:
        raise ValueError(word)
    return number
