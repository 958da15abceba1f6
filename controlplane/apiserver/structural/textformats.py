"""Whether a text is of a format that a schema names. Pure.

Source: RFCs 1034, 3339, 4122, 5322; what else a format is follows upstream's validator. Formats are named without their
hyphens: `date-time` and `datetime` are one.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice

from apimachinery import addresses, duration, errors, formats, patterns, urls

__all__ = ["TEXTS", "known", "named", "nanoseconds"]

_HEX = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?%s-?%s-?[0-9a-f]{12}$"
_OCTET = r"(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
_PATTERNS = {
    "bsonobjectid": "^[0-9a-fA-F]{24}$",
    "byte": r"^(?:[A-Za-z0-9+\/]{4})*(?:[A-Za-z0-9+\/]{2}==|[A-Za-z0-9+\/]{3}=|[A-Za-z0-9+\/]{4})$",
    "hexcolor": "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
    "rgbcolor": rf"^rgb\(\s*{_OCTET}\s*,\s*{_OCTET}\s*,\s*{_OCTET}\s*\)$",
    # Hyphens or spaces are only optional to the expression: with both there are eleven characters.
    "ssn": r"^\d{3}[- ]\d{2}[- ]\d{4}$",
    "uuid": _HEX % ("[0-9a-f]{4}", "[0-9a-f]{4}"),
    "uuid3": _HEX % ("3[0-9a-f]{3}", "[0-9a-f]{4}"),
    "uuid4": _HEX % ("4[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
    "uuid5": _HEX % ("5[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
}
# A name of one label, or of several of which the last has letters alone; see _hostname for the letters of this.
_HOST = re.compile(r"[ls](?:-?[ls]{0,62})?|(?:[ls](?:[ls-]{0,61}[ls])?\.)+l{2,63}")
_CARD = (
    "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$"
)
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Scala's spelling of durations: an amount and a unit, however often. Two expressions, for no digit is looked at twice:
# texts are others'.
_AMOUNT, _UNIT = re.compile("[0-9]+"), re.compile(r"[\t\n\f\r ]*([A-Za-zµ]+)")
_MOST, _LONGEST = 2**63, 19
# Units by their whole names, and by how a name may begin.
_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_UNITS |= {"hr": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9, "wk": 7 * 86400 * 10**9}
_STEMS = {"nano": 1, "micro": 1000, "milli": 10**6, "sec": 10**9, "min": 60 * 10**9, "hour": 3600 * 10**9}
_STEMS |= {"day": 86400 * 10**9, "week": 7 * 86400 * 10**9}
# Addresses are RE2's to find: Python's own expressions take half a second for a megabyte, and nothing else runs then.
_SPACE = r"\t-\r \x1c-\x1f\x{85}\pZ"
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\x{80}-\x{10ffff}]+"
_QUOTED = r'"(?:[^"\\\r\n]|\\.)*"'
_SPEC = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?:{_ATOM}(?:\.{_ATOM})*|\[[^\]\[\\{_SPACE}]+\])"
_PHRASE = rf"(?:[\pL\pN_{_SPACE}.\-!#$%&'*+/=?^`{{|}}~]|{_QUOTED})*"
_EMAIL = rf"^[{_SPACE}]*(?:{_SPEC}|{_PHRASE}<[{_SPACE}]*{_SPEC}[{_SPACE}]*>)[{_SPACE}]*$"
# Characters of an address of 20 bytes, and of a name of several labels.
_LONGEST_MAC, _LONGEST_NAME = 59, 253


def _matching(pattern: str) -> Callable[[str], bool]:
    return lambda text: (form := patterns.compiled(pattern)) is not None and form.search(text) is not None


def _date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    year, month, day = map(int, text.split("-"))
    try:
        # Go's calendar has a year 0, which is a leap year.
        datetime.date(year or 2000, month, day)
    except ValueError:
        return False
    return True


def _datetime(text: str) -> bool:
    day, letter, rest = text.lower().partition("t")
    found = _TIME.fullmatch(rest.partition("t")[0])
    if not letter or not _date(day) or found is None:
        return False
    return found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def nanoseconds(text: str) -> int:
    """What a duration comes to, in either spelling. Raises ValueError."""
    try:
        return duration.nanoseconds(text)
    except ValueError:
        found: list[int] = []
        for digits in _AMOUNT.finditer(text):
            if (unit := _UNIT.match(text, digits.end())) is None:
                continue
            amount, name = digits[0], unit[1]
            plain = amount.lstrip("0")
            if len(plain) > _LONGEST or (number := int(plain or "0")) >= _MOST:
                raise ValueError(f"strconv.Atoi: parsing {errors.quoted(amount)}: value out of range") from None
            found += (number * each for each in _units(name.lower()))
        if not found:
            raise ValueError(f"unable to parse {text} as duration") from None
        # Upstream counts in 64 bits, and around.
        return (sum(found) + _MOST) % (2 * _MOST) - _MOST


@lru_cache(64)
def _units(name: str) -> list[int]:
    stems = [unit for stem, unit in _STEMS.items() if name.startswith(stem)]
    return [_UNITS[name], *stems] if name in _UNITS else stems


def _duration(text: str) -> bool:
    try:
        nanoseconds(text)
    except ValueError:
        return False
    return True


def _shape(letter: str) -> str:
    if letter in ".-":
        return letter
    return "s" if letter in "0123456789" else {"L": "l", "S": "s"}.get(unicodedata.category(letter)[0], "?")


def _hostname(text: str) -> bool:
    if len(text.encode()) > 255:
        return False
    # Letters are l, digits and symbols are s. As one expression with all letters that there are it takes RE2 a second.
    if not _HOST.fullmatch("".join(map(_shape, text))):
        return False
    return all(len(part.encode()) <= 63 for part in text.split("."))


def _ipv4(text: str) -> bool:
    return "." in text and addresses.address(text) is not None


def _ipv6(text: str) -> bool:
    return ":" in text and "%" not in text and addresses.address(text) is not None


def _cidr(text: str) -> bool:
    return "/" in text and addresses.interface(text) is not None


def _mac(text: str) -> bool:
    if len(text) > _LONGEST_MAC:
        return False
    for sign, digits in ((":", 2), ("-", 2), (".", 4)):
        parts = text.split(sign)
        if len(parts) * digits in (12, 16, 40) and all(re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", one) for one in parts):
            return True
    return False


def _uri(text: str) -> bool:
    named = re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", text)
    return bool(text) and not urls.unreadable(text) and (text[0] == "/" or text == "*" or named is not None)


def _digits(text: str) -> list[int]:
    return [10 if letter == "X" else int(letter) for letter in text]


def _only(letter: str, text: str, most: int) -> str:
    """The letters of a kind that there are in a text, and no more than one beyond the most: all that can matter."""
    return "".join(found[0] for found in islice(re.finditer(letter, text), most + 1))


def _isbn10(text: str) -> bool:
    plain = _only(r"[^\s-]", text, 10)
    if not re.fullmatch("[0-9]{9}[0-9X]", plain):
        return False
    return sum(place * digit for place, digit in enumerate(_digits(plain), 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    plain = _only(r"[^\s-]", text, 13)
    if not re.fullmatch("[0-9]{13}", plain):
        return False
    return sum((1, 3)[place % 2] * digit for place, digit in enumerate(_digits(plain))) % 10 == 0


def _creditcard(text: str) -> bool:
    plain = _only("[0-9]", text, 16)
    if not _matching(_CARD)(plain):
        return False
    doubled = [digit * 2 if place % 2 else digit for place, digit in enumerate(reversed(_digits(plain)))]
    return sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0


TEXTS: Mapping[str, Callable[[str], bool]] = {
    **{name: _matching(pattern) for name, pattern in _PATTERNS.items()},
    "cidr": _cidr,
    "creditcard": _creditcard,
    "date": _date,
    "datetime": _datetime,
    "duration": _duration,
    "email": _matching(_EMAIL),
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "k8slongname": lambda text: len(text) <= _LONGEST_NAME and not formats.long_name(text),
    "k8sshortname": lambda text: "." not in text and not formats.dns1123_label(text),
    "mac": _mac,
    "password": lambda text: True,
    "uri": _uri,
}
_OF_NUMBERS = {"integer": ("int32", "int64"), "number": ("float", "double")}


def known(form: str, kind: str) -> bool:
    """Whether values of a type can be held to a format; "" is the type of what has none, or several."""
    if kind in ("", "string"):
        return named(form) in TEXTS
    return form in _OF_NUMBERS.get(kind, ())


def named(form: str) -> str:
    """A format's name as it is compared."""
    return form.replace("-", "")
