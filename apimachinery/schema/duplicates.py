"""Which keys a JSON text says twice: parsing forgets them, so strict validation needs its own look at the
text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from apimachinery.jsontext import LARGE

__all__ = ["as_met", "duplicate_fields", "merged_repeats"]


class _Pairs(list[tuple[str, Any]]):
    """An object's members, in the order and number of the text."""


def duplicate_fields(text: bytes, limit: int = 100) -> tuple[str, ...]:
    """The paths of repeated keys, "spec.replicas", in the order upstream meets them; at most `limit`.

    The text must be valid JSON (raises ValueError otherwise), and `jsontext.told` says whether it is worth this second
    reading. Upstream reports a member's repeated key as soon as it reads it, before what lies inside its value, and
    each path once.
    """
    root = _parsed(text, _Pairs)
    found: dict[str, None] = {}
    _scan(root, "", found)
    return tuple(found)[:limit]


def as_met(text: bytes, complaints: Sequence[str]) -> tuple[str, ...]:
    """Complaints about repeated and unknown members (`duplicate field "a.b"`, `unknown field "a.c"`) in the order in
    which upstream, that reads a text once, meets them: a member at its first mention, a repeated one at its second.
    """
    firsts: dict[str, int] = {}
    seconds: dict[str, int] = {}
    _number(_parsed(text, _Pairs), "", firsts, seconds)

    def place(complaint: str) -> int:
        kind, _, path = complaint.removesuffix('"').partition(' field "')
        return (seconds if kind == "duplicate" else firsts).get(path, 0)

    return tuple(sorted(complaints, key=place))


def _number(value: Any, path: str, firsts: dict[str, int], seconds: dict[str, int]) -> None:
    if isinstance(value, _Pairs):
        for name, item in value:
            below = f"{path}.{name}" if path else name
            (seconds if below in firsts else firsts).setdefault(below, len(firsts) + len(seconds))
            _number(item, below, firsts, seconds)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _number(item, f"{path}[{index}]", firsts, seconds)


def merged_repeats(text: bytes) -> Any:
    """The value of a JSON text with repeated keys as upstream reads it: objects said twice are merged."""
    return _parsed(text, _together)


def _parsed(text: bytes, of_pairs: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    """A large text is read by the library's part in Python: the one in C would let no other thread run meanwhile."""
    if len(text) < LARGE:
        return json.loads(text, object_pairs_hook=of_pairs)
    decoder: Any = json.JSONDecoder(object_pairs_hook=of_pairs)
    decoder.parse_object, decoder.parse_array = json.decoder.JSONObject, json.decoder.JSONArray  # type: ignore[attr-defined]
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder.decode(text.decode("utf-8", "replace"))


def _together(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        before = found.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            found[name] = _overlaid(before, value)
        else:
            found[name] = value
    return found


def _overlaid(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    return _together([*under.items(), *over.items()])


def _scan(value: Any, path: str, found: dict[str, None]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, item in value:
            below = f"{path}.{name}" if path else name
            if name in seen:
                found[below] = None
            seen.add(name)
            _scan(item, below, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _scan(item, f"{path}[{index}]", found)
