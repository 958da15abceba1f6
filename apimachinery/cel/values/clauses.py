"""The clauses of a text that is filled in, `%s` and `%.2f`. Pure. Source: cel-go's string extension."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery.cel.values.faults import EvaluationError
from apimachinery.errors import quoted

_CLAUSE = re.compile(r"(?:\.(?P<precision>\d*))?(?P<kind>.)?", re.DOTALL | re.ASCII)
_MOST_DIGITS = 1000
_ANY = "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
# What a clause says it takes, and the types that it does take.
TAKES = {
    "s": f"string clause can only be used on {_ANY}",
    "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles",
    "b": "only integers and bools can be formatted as binary",
    "o": "octal clause can only be used on integers",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
    "X": "only integers, byte buffers, and strings can be formatted as hex",
}
_WHOLE = ("int", "uint")
FITTING: dict[str, tuple[str, ...]] = {
    "s": (*_WHOLE, *["double", "bool", "string", "bytes", "list", "map", "type", "null", "duration", "timestamp"]),
    "d": _WHOLE,
    "f": ("double",),
    "e": ("double",),
    "b": (*_WHOLE, "bool"),
    "o": _WHOLE,
    "x": (*_WHOLE, "string", "bytes"),
    "X": (*_WHOLE, "string", "bytes"),
}


def parts(text: str) -> Iterator[str | tuple[str, int]]:
    """The parts of a text in turn: plain ones, and (kind, precision) of clauses. Raises EvaluationError."""
    at = 0
    while (sign := text.find("%", at)) >= 0:
        yield text[at:sign]
        if text[sign + 1 : sign + 2] == "%":
            yield "%"
            at = sign + 2
            continue
        clause = _CLAUSE.match(text, sign + 1)
        assert clause is not None
        if clause["kind"] is None:
            if clause["precision"] is not None:
                raise _unread("error while parsing precision: could not find end of precision specifier")
            raise EvaluationError("unexpected end of string")
        if clause["kind"] not in TAKES:
            raise _unread(f'unrecognized formatting clause "{clause["kind"]}"')
        yield clause["kind"], _precision(clause["precision"])
        at = clause.end()
    yield text[at:]


def clauses(text: str) -> list[str]:
    """The kinds of a text's clauses. Raises EvaluationError."""
    return [part[0] for part in parts(text) if isinstance(part, tuple)]


def _unread(why: str) -> EvaluationError:
    return EvaluationError(f"could not parse formatting clause: {why}")


def _precision(digits: str | None) -> int:
    if digits is None:
        return 6
    if not digits or len(digits) > 6:
        why = "invalid syntax" if not digits else "value out of range"
        raise _unread(
            "error while parsing precision: error while converting precision to integer: "
            f"strconv.Atoi: parsing {quoted(digits)}: {why}"
        )
    if int(digits) > _MOST_DIGITS:
        raise _unread(f"precision {int(digits)} is too large")
    return int(digits)
