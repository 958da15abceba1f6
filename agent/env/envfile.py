"""One variable of a file that a container wrote for others of its pod (KEP-3721); pure.

The format is a strict part of the shell's: `NAME='value'`, one after the other, values over several lines, `#`
comments. Between the quotes everything stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterator

# A line, as upstream reads it.
_MAX_LINE = 64 * 1024


class EnvFileError(ValueError):
    """The file is not in the format; the text names the line."""


def value_of(text: str, key: str) -> str:
    """The first value of `key`, empty where it is not set. Lines behind it are not looked at. Raises EnvFileError."""
    lines = iter(enumerate((line.removesuffix("\r") for line in text.split("\n")), 1))
    for number, raw in lines:
        line = _bounded(raw, number).lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise _error(number, "missing '='")
        if not name.strip(" \t"):
            raise _error(number, "empty variable name")
        if name != name.rstrip(" \t"):
            raise _error(number, "whitespace before '=' is not allowed")
        if value.startswith((" ", "\t")):
            # As a shell reads it: the name is set to nothing, what follows is another word.
            if name == key:
                return ""
            continue
        if not value.startswith("'"):
            raise _error(number, "value must be enclosed in single quotes")
        found = _quoted(value[1:], number, lines)
        if name == key:
            return found
    return ""


def _quoted(rest: str, start: int, lines: Iterator[tuple[int, str]]) -> str:
    """The value up to its closing quote, which may be lines below."""
    parts, number = [], start
    while "'" not in rest:
        parts.append(rest)
        following = next(lines, None)
        if following is None:
            raise EnvFileError(f"invalid environment variable format starting at line {start}: unclosed single quote")
        number, rest = following
        _bounded(rest, number)
    last, _, after = rest.partition("'")
    after = after.lstrip(" \t")
    if after and not after.startswith("#"):
        raise _error(number, "unexpected content after closing quote")
    return "\n".join((*parts, last))


def _bounded(line: str, number: int) -> str:
    if len(line) > _MAX_LINE:
        raise _error(number, "the line is too long")
    return line


def _error(number: int, why: str) -> EnvFileError:
    return EnvFileError(f"invalid environment variable format at line {number}: {why}")
