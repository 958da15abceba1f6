"""Values as Go prints them in messages."""

from __future__ import annotations

import json
import re
from typing import Any

# Upstream prints values whole, so a value that is cut is one that nobody reads: a whole object that a patch made of the
# wrong type has some thousand characters. A value has so many, and a text about one (its escapes and a reason) so many.
_LONGEST_VALUE = 32768
_LONGEST_TEXT = 4 * _LONGEST_VALUE
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


def shown(value: Any) -> str:
    """A bad value as Go prints it: strings quoted, the rest as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _OPEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
