"""Texts. Source: the documentation of cel-go's string extension (its second version) and of Kubernetes' regex library.

Positions are in characters.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

from apimachinery import patterns
from apimachinery.cel.libraries import costs
from apimachinery.cel.libraries.formatting import formatted
from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload
from apimachinery.cel.values.faults import CostExceeded, EvaluationError
from apimachinery.cel.values.kinds import Count, told
from apimachinery.errors.shown import ESCAPES

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_QUOTED = str.maketrans(ESCAPES)
# No text that a function makes is longer.
_LONGEST = 10_000_000


def _in(text: str, place: int) -> None:
    if not 0 <= place <= len(text):
        raise EvaluationError(f"index out of range: {place}")


def _letter(text: str, place: int) -> str:
    _in(text, place)
    return text[place : place + 1]


def _place(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if start < 0:
        raise EvaluationError(f"index out of range: {start}")
    return text.find(part, start) if start < len(text) else -1


def _last_place(text: str, part: str) -> int:
    return text.rfind(part)


def _last_place_from(text: str, part: str, start: int) -> int:
    if not part:
        return start
    if start < 0:
        raise EvaluationError(f"index out of range: {start}")
    return text.rfind(part, 0, start + len(part)) if start < len(text) else -1


def _replaced(text: str, old: str, new: str, times: int = -1) -> str:
    count = text.count(old)
    if 0 <= times < count:
        count = times
    if len(text) + count * len(new) > _LONGEST:
        raise CostExceeded("operation cancelled: actual cost limit exceeded")
    return text.replace(old, new, times if times >= 0 else -1)


def _split(text: str, by: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if not by:
        letters = list(text)
        return letters if most < 0 or most >= len(letters) else [*letters[: most - 1], text[most - 1 :]]
    return text.split(by, most - 1 if most > 0 else -1)


def _part(text: str, start: int) -> str:
    _in(text, start)
    return text[start:]


def _part_between(text: str, start: int, end: int) -> str:
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    _in(text, start)
    _in(text, end)
    return text[start:end]


def _joined(texts: list[Any], between: str = "") -> str:
    for each in texts:
        if not isinstance(each, str):
            raise EvaluationError(f"join: invalid input: {told(each)}")
    if sum(map(len, texts)) + len(between) * len(texts) > _LONGEST:
        raise CostExceeded("operation cancelled: actual cost limit exceeded")
    return between.join(texts)


def _form(count: Count, pattern: str) -> Any:
    form = patterns.compiled(pattern)
    if form is None:
        raise EvaluationError(f"Illegal regex: {patterns.complaint(pattern)}")
    # A short one can mean a long program.
    count(form.programsize)
    return form


def _found(count: Count, text: str, pattern: str) -> str:
    match = _form(count, pattern).search(text)
    return str(match.group()) if match is not None else ""


def _all_found(count: Count, text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    if most != 0:
        for match in _form(count, pattern).finditer(text):
            found.append(match.group())
            if len(found) == most:
                break
    return found


def _functions() -> Iterator[Overload]:
    yield function("string.charAt(int) -> string", _letter)
    yield function("string.indexOf(string) -> int", _place, costs.text)
    yield function("string.indexOf(string, int) -> int", _place, costs.text)
    yield function("string.lastIndexOf(string) -> int", _last_place, costs.text)
    yield function("string.lastIndexOf(string, int) -> int", _last_place_from, costs.text)
    yield function("string.lowerAscii() -> string", lambda text: text.translate(_LOWER), costs.text)
    yield function("string.upperAscii() -> string", lambda text: text.translate(_UPPER), costs.text)
    yield function("string.replace(string, string) -> string", _replaced, costs.twice)
    yield function("string.replace(string, string, int) -> string", _replaced, costs.twice)
    yield function("string.split(string) -> list(string)", _split, costs.twice)
    yield function("string.split(string, int) -> list(string)", _split, costs.twice)
    yield function("string.substring(int) -> string", _part, costs.text)
    yield function("string.substring(int, int) -> string", _part_between, costs.text)
    yield function("string.trim() -> string", lambda text: text.strip(_SPACE), costs.text)
    yield function("string.format(list(dyn)) -> string", formatted, costs.text, counts=True)
    yield function("strings.quote(string) -> string", lambda text: f'"{text.translate(_QUOTED)}"', costs.text)
    yield function("list(string).join() -> string", _joined, costs.made)
    yield function("list(string).join(string) -> string", _joined, costs.made)
    yield function("string.find(string) -> string", _found, costs.pattern, True, True)
    yield function("string.findAll(string) -> list(string)", _all_found, costs.pattern, True, True)
    yield function("string.findAll(string, int) -> list(string)", _all_found, costs.pattern, True, True)


FUNCTIONS: tuple[Overload, ...] = tuple(_functions())
