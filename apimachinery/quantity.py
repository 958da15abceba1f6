"""Resource quantities: "500m", "1.5Gi", "2e3", exact, and written the one canonical way.

A quantity is an exact count of billionths and the family of suffixes it was written with. Source: the serialisation
rules of `resource.Quantity` in the Kubernetes API reference; finer than a billionth rounds up, away from zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from apimachinery.numerals import INT64
from apimachinery.numerals import whole as number

__all__ = ["BINARY", "DECIMAL", "EXPONENT", "Quantity", "QuantityError", "canonical", "parse"]

DECIMAL, BINARY, EXPONENT = "DecimalSI", "BinarySI", "DecimalExponent"

FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_WRONG = "unable to parse quantity's suffix"

NANO = 10**9
MAXIMUM = (2**63 - 1) * NANO
_MOST_DIGITS = 300
# Places before the point: floats hold the billionths of what has no more, and sums of many such.
_MOST_PLACES = 280

DECIMAL_EXPONENTS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY_EXPONENTS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
DECIMAL_SUFFIXES = {exponent: suffix for suffix, exponent in DECIMAL_EXPONENTS.items()}
BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")

# "-", "m" and "." are zeros upstream; only what follows the number is judged.
SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
EXPONENT_SHAPE = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)


class QuantityError(ValueError):
    """The text is no quantity; the message is upstream's."""


@dataclass(frozen=True)
class Quantity:
    """An exact amount in billionths; `str()` gives the canonical text."""

    nanos: int
    format: str = DECIMAL

    def value(self) -> int:
        """Whole units, a fraction rounded away from zero."""
        return _round_away(self.nanos, NANO)

    def milli(self) -> int:
        """Thousandths, rounded away from zero."""
        return _round_away(self.nanos, 10**6)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)

    def __mul__(self, times: int) -> Quantity:
        return Quantity(self.nanos * times, self.format)

    def __eq__(self, other: object) -> bool:
        """Equal amounts are equal, however they were written."""
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: Quantity) -> bool:
        return self.nanos <= other.nanos

    def __gt__(self, other: Quantity) -> bool:
        return self.nanos > other.nanos

    def __ge__(self, other: Quantity) -> bool:
        return self.nanos >= other.nanos

    def __str__(self) -> str:
        if not self.nanos:
            return "0"
        if self.format == BINARY and abs(self.nanos) >= 1024 * NANO:
            return _binary_text(self.value())
        return _decimal_text(self.nanos, self.format)


def parse(text: str | int | float) -> Quantity:
    """A quantity from its JSON value; raises QuantityError with upstream's wording."""
    return _parse(text if isinstance(text, str) else _number_text(text))


def canonical(text: str | int | float) -> str:
    """The canonical text of a quantity's JSON value, as the API stores and returns it."""
    return _canonical(text if isinstance(text, str) else _number_text(text))


def _number_text(number: int | float) -> str:
    if isinstance(number, bool):
        raise QuantityError(FORMAT_WRONG)
    return str(number) if isinstance(number, int) else repr(number)


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    return str(_parse(text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    text = text.strip()
    shape = SHAPE.fullmatch(text)
    if not text or shape is None:
        raise QuantityError(FORMAT_WRONG)
    sign, whole, fraction, suffix = shape[1], shape[2], shape[3] or "", shape[4]
    base, exponent, family = _suffix(suffix)
    digits, more = _digits(whole + fraction)
    ten = more - len(fraction) + (exponent if base == 10 else 0)
    if digits and (len(str(digits)) + ten > _MOST_PLACES or ten < -400):
        # Past every bound either way; spares building a number of a million digits.
        nanos = MAXIMUM if ten > -400 else 1
    else:
        nanos = _nanos(digits, ten, exponent if base == 2 else 0)
    if base == 2:
        nanos = min(nanos, MAXIMUM)
    if family == BINARY and 0 < nanos < NANO:
        family = DECIMAL
    return Quantity(-nanos if sign == "-" else nanos, family)


def _digits(text: str) -> tuple[int, int]:
    """The number that digits begin with, and how many more it has: of very many the first count, and whether anything
    follows them, which rounds up."""
    text = text.lstrip("0")
    first, rest = text[:_MOST_DIGITS], text[_MOST_DIGITS:]
    if not rest:
        return int(first or "0"), 0
    return int(first + ("1" if rest.strip("0") else "0")), len(rest) - 1


def _suffix(suffix: str) -> tuple[int, int, str]:
    if suffix in DECIMAL_EXPONENTS:
        return 10, DECIMAL_EXPONENTS[suffix], DECIMAL
    if suffix in BINARY_EXPONENTS:
        return 2, BINARY_EXPONENTS[suffix], BINARY
    if match := EXPONENT_SHAPE.fullmatch(suffix):
        exponent = number(match[1])
        if exponent is not None and -INT64 <= exponent < INT64:
            return 10, exponent, EXPONENT
    raise QuantityError(SUFFIX_WRONG)


def _nanos(digits: int, ten: int, two: int) -> int:
    scaled = digits << two
    power = ten + 9
    return scaled * 10**power if power >= 0 else _round_away(scaled, 10**-power)


def _round_away(amount: int, unit: int) -> int:
    return -(-amount // unit) if amount >= 0 else amount // unit


def _decimal_text(nanos: int, family: str) -> str:
    exponent = -9
    while nanos % 1000 == 0 and (exponent < 18 or family == EXPONENT):
        nanos //= 1000
        exponent += 3
    if family == EXPONENT:
        return f"{nanos}e{exponent}" if exponent else str(nanos)
    return f"{nanos}{DECIMAL_SUFFIXES[exponent]}"


def _binary_text(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < len(BINARY_SUFFIXES) - 1:
        value //= 1024
        power += 1
    return f"{value}{BINARY_SUFFIXES[power]}"
