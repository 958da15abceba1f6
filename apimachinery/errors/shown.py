"""Values as Go prints them in messages."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

# Upstream prints values whole, so a value that is cut is one that nobody reads: a whole object that a patch made of the
# wrong type has some thousand characters. A value has so many, and a text about one (its escapes and a reason) so many.
_LONGEST_VALUE = 32768
_LONGEST_TEXT = 4 * _LONGEST_VALUE
# A number with more digits before its point is printed with an exponent.
_LONGEST_NUMBER = 6
# What Go's JSON never writes plainly.
_OPEN = re.compile("[<>&\u2028\u2029]")


def shortened(text: str, most: int = _LONGEST_TEXT) -> str:
    """A text, or the beginning of one that is too long for a message."""
    return text if len(text) <= most else text[:most] + " ..."


ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
"""The characters that Go's quoted texts write with a letter or a sign of their own."""


def quoted(text: str) -> str:
    """A text as Go's %q prints it."""
    text = shortened(text, _LONGEST_VALUE)
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(ESCAPES.get(c) or (c if c.isprintable() else _code(ord(c))) for c in text) + '"'


def _code(point: int) -> str:
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def number(value: float) -> str:
    """A number as Go's %v prints it."""
    if not math.isfinite(value):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    power = len(digits) - 1 + exponent
    if value == 0 or -5 < power < _LONGEST_NUMBER:
        return f"{Decimal(repr(value)).normalize():f}"
    fraction = "".join(map(str, digits[1:]))
    return f"{'-' * sign}{digits[0]}{'.' * bool(fraction)}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"


def shown(value: Any) -> str:
    """A bad value as Go prints it: strings quoted, the rest as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return number(value)
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return _OPEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: Any) -> Any:
    """A value with whole numbers as JSON of Go's has them, without a point."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value
