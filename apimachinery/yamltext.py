"""API objects as YAML text, as Kubernetes writes it: block style, keys in its order, quoted where its reader needs it.

Source: the encoder of go.yaml.in/yaml/v2, whose rules of what a plain text is taken for these are.
"""

from __future__ import annotations

import datetime
import math
import re
from functools import cmp_to_key
from typing import Any

import yaml

from apimachinery import errors

_WIDTH = 80
_TAG = "tag:yaml.org,2002:"
_STR, _MAP, _INT, _FLOATING = f"{_TAG}str", f"{_TAG}map", f"{_TAG}int", f"{_TAG}float"
_WORD = re.compile(
    r"|~|[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE|null|Null|NULL"
    r"|\.nan|\.NaN|\.NAN|[-+]?\.(?:inf|Inf|INF)"
)
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})"
    r"(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,][0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,][0-9]+)?)?",
    re.ASCII,
)


def _means_something_else(text: str) -> bool:
    """Whether a reader would take a plain text for no string."""
    if _WORD.fullmatch(text) or _SIXTIES.fullmatch(text) or _is_time(text):
        return True
    if text[0] not in "+-.0123456789":
        return False
    number = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(number):
        return True
    return bool(_FLOAT.fullmatch(number)) and math.isfinite(float(number))


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    try:
        datetime.date(*map(int, found["date"].split("-")))
    except ValueError:
        return False
    return True


def _compared(left: str, right: str) -> int:
    """Below zero where the key `left` stands before `right`: letters after all else, digits by the number they are."""
    for at, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if mine == theirs:
            continue
        if mine.isalpha() or theirs.isalpha():
            both = mine.isalpha() and theirs.isalpha()
            return (-1 if mine < theirs else 1) if both else (-1 if theirs.isalpha() else 1)
        first, second = _number(left, at), _number(right, at)
        if "0" in (mine, theirs) and re.search(r"[1-9][0-9]*\Z", left[:at]):
            # What stands before are digits of the same number.
            first, second = ("1" + first if first else "1"), ("1" + second if second else "1")
        return -1 if (*_size(first), len(first), mine) < (*_size(second), len(second), theirs) else 1
    return len(left) - len(right)


def _size(digits: str) -> tuple[int, str]:
    """What orders numbers, of however many digits."""
    told = digits.lstrip("0")
    return len(told), told


def _number(text: str, at: int) -> str:
    end = at
    while end < len(text) and text[end].isdecimal():
        end += 1
    return text[at:end]


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Strings that could be read as something else are quoted, those of several lines are literal blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """The same value twice is written twice: JSON has no anchors."""
        return True

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """What a plain text is read as: here a string wherever Kubernetes' reader takes it for one."""
        if kind is yaml.ScalarNode and not (implicit[0] and _means_something_else(value)):
            return _STR
        if kind is yaml.ScalarNode and _FLOAT.fullmatch(value):
            return _INT if _INTEGER.fullmatch(value) else _FLOATING
        return super().resolve(kind, value, implicit)


def _text(dumper: _Dumper, value: str) -> Any:
    style = "|" if "\n" in value else '"' if _means_something_else(value) else None
    return dumper.represent_scalar(_STR, value, style=style)


def _float(dumper: _Dumper, value: float) -> Any:
    text = errors.number(value)
    return dumper.represent_scalar(_INT if _INTEGER.fullmatch(text) else _FLOATING, text)


def _mapping(dumper: _Dumper, value: dict[str, Any]) -> Any:
    return dumper.represent_mapping(_MAP, [(key, value[key]) for key in sorted(value, key=cmp_to_key(_compared))])


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _float)
_Dumper.add_representer(dict, _mapping)


def dumps(value: Any) -> bytes:
    """One document without a marker before or after it."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=_WIDTH)
    return text.removesuffix("...\n").encode()
