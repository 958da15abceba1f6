"""Quantities, semantic versions and named formats. Source: the documentation of the Kubernetes CEL libraries."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from apimachinery import formats, quantity
from apimachinery.cel.evaluation.budget import traversal
from apimachinery.cel.libraries import costs
from apimachinery.cel.libraries.network import url
from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload, object_type
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.kinds import NONE, Opaque, Optional
from apimachinery.cel.values.numbers import MAX_INT, MAX_UINT, MIN_INT
from apimachinery.cel.values.times import parse_timestamp
from apimachinery.errors import quoted

_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.ASCII)
_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?", re.ASCII)


@dataclass(frozen=True)
class Quantity(Opaque):
    """An amount."""

    amount: quantity.Quantity

    cel_type = object_type("kubernetes.Quantity")


@dataclass(frozen=True)
class Semver(Opaque):
    """A version; what comes first by the rules of semantic versions. order: its numbers and its pre-release."""

    numbers: tuple[int, int, int]
    order: tuple[object, ...] = field(compare=True)

    cel_type = object_type("kubernetes.Semver")


@dataclass(frozen=True)
class Format(Opaque):
    """A named format; pattern: how long its regular expression counts."""

    name: str
    check: Callable[[str], Sequence[str]] = field(compare=False)
    pattern: int

    cel_type = object_type("kubernetes.NamedFormat")


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(quantity.parse(text))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from error


def _whole(given: Quantity) -> int | None:
    units, rest = divmod(given.amount.nanos, quantity.NANO)
    return units if not rest and MIN_INT <= units <= MAX_INT else None


def _integer(given: Quantity) -> int:
    found = _whole(given)
    if found is None:
        raise EvaluationError("cannot convert value to integer")
    return found


def _units(count: int) -> Quantity:
    return Quantity(quantity.Quantity(count * quantity.NANO, quantity.EXPONENT))


def _order(one: object, other: object) -> int:
    return int(one > other) - int(one < other)  # type: ignore[operator]


def semver(text: str, lenient: bool = False) -> Semver:
    """A version out of its text; `lenient`: it may lack parts. Raises EvaluationError."""
    whole = _completed(text) if lenient else text
    if wrong := _no_semver(whole):
        raise EvaluationError(wrong)
    found = _SEMVER.fullmatch(whole)
    assert found is not None
    numbers = (int(found[1]), int(found[2]), int(found[3]))
    before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in (found[4] or "").split("."))
    # What has no pre-release comes after what has one.
    return Semver(numbers, (numbers, before if found[4] else ((2, 0, ""),)))


def _no_semver(text: str) -> str:
    if not text:
        return "Version string empty"
    parts = text.split(".", 2)
    if len(parts) < 3:
        return "No Major.Minor.Patch elements found"
    rest, plus, build = parts[2].partition("+")
    parts[2], dash, before = rest.partition("-")
    for name, number in zip(("major", "minor", "patch"), parts, strict=True):
        if not re.fullmatch(r"\d*", number, re.ASCII):
            return f"Invalid character(s) found in {name} number {quoted(number)}"
        if len(number) > 1 and number[0] == "0":
            return f"{name.title()} number must not contain leading zeroes {quoted(number)}"
        if not number or int(number[:21]) > MAX_UINT:
            why = "value out of range" if number else "invalid syntax"
            return f"strconv.ParseUint: parsing {quoted(number)}: {why}"
    return (_no_prerelease(before) if dash else "") or (_no_build(build) if plus else "")


def _no_prerelease(text: str) -> str:
    for part in text.split("."):
        if not part:
            return "Prerelease is empty"
        if part.isdigit() and len(part) > 1 and part[0] == "0":
            return f"Numeric PreRelease version must not contain leading zeroes {quoted(part)}"
        if not re.fullmatch(r"[0-9A-Za-z-]+", part):
            return f"Invalid character(s) found in prerelease {quoted(part)}"
        if part.isdigit() and int(part[:21]) > MAX_UINT:
            return f"strconv.ParseUint: parsing {quoted(part)}: value out of range"
    return ""


def _no_build(text: str) -> str:
    for part in text.split("."):
        if not part:
            return "Build meta data is empty"
        if not re.fullmatch(r"[0-9A-Za-z-]+", part):
            return f"Invalid character(s) found in build meta data {quoted(part)}"
    return ""


def _completed(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            part = part.lstrip("0")
            parts[index] = part if part[:1].isdigit() else f"0{part}"
    if len(parts) < 3:
        if any(letter in parts[-1] for letter in "-+"):
            raise EvaluationError("Short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _is(parse: Callable[[], Opaque]) -> bool:
    try:
        parse()
    except EvaluationError:
        return False
    return True


def _prefix(check: Callable[[str], Sequence[str]]) -> Callable[[str], Sequence[str]]:
    """A name that something will be added to: what it ends with does not count."""
    return lambda text: check(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)


def _uri(text: str) -> Sequence[str]:
    try:
        url(text)
    except EvaluationError as error:
        return (str(error).removeprefix("URL parse error during conversion from string: "),)
    return ()


def _readable(read: Callable[[str], object], otherwise: str) -> Callable[[str], Sequence[str]]:
    def check(text: str) -> Sequence[str]:
        try:
            read(text)
        except (ValueError, binascii.Error, EvaluationError):
            return (otherwise,)
        return ()

    return check


def _date(text: str) -> object:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise ValueError(text)
    return date.fromisoformat(text)


_FORMATS: dict[str, Format] = {
    "dns1123Label": Format("DNS1123Label", formats.dns1123_label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", formats.dns1123_subdomain, 60),
    "dns1035Label": Format("DNS1035Label", formats.dns1035_label, 30),
    "qualifiedName": Format("QualifiedName", formats.qualified_name, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _prefix(formats.dns1123_label), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _prefix(formats.dns1123_subdomain), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _prefix(formats.dns1035_label), 30),
    "labelValue": Format("LabelValue", formats.label_value, 40),
    "uri": Format("URI", _uri, 1000),
    "uuid": Format("uuid", lambda text: () if _UUID.fullmatch(text) else ("does not match the UUID format",), 100),
    "byte": Format("byte", _readable(lambda text: base64.b64decode(text, validate=True), "invalid base64"), 100),
    "date": Format("date", _readable(_date, "invalid date"), 200),
    "datetime": Format("datetime", _readable(parse_timestamp, "invalid datetime"), 200),
}


def _validated(given: Format, text: str) -> Optional:
    found = list(given.check(text))
    return Optional(found, True) if found else NONE


def _validation_cost(args: costs.Args, _result: object) -> int:
    given: Format = args[0]
    return traversal(1 + len(args[1])) * math.ceil(given.pattern * 0.25)


def _constant(given: Format) -> Callable[[], Format]:
    return lambda: given


def _functions() -> Iterator[Overload]:
    kind = "kubernetes.Quantity"
    yield function(f"quantity(string) -> {kind}", _quantity, costs.text)
    yield function("isQuantity(string) -> bool", lambda text: _is(lambda: _quantity(text)), costs.text)
    yield function(f"sign({kind}) -> int", lambda given: _order(given.amount.nanos, 0))
    yield function(f"{kind}.isGreaterThan({kind}) -> bool", lambda one, other: one.amount > other.amount)
    yield function(f"{kind}.isLessThan({kind}) -> bool", lambda one, other: one.amount < other.amount)
    yield function(f"{kind}.compareTo({kind}) -> int", lambda one, other: _order(one.amount, other.amount))
    yield function(f"{kind}.asApproximateFloat() -> double", lambda given: given.amount.nanos / quantity.NANO)
    yield function(f"{kind}.asInteger() -> int", _integer)
    yield function(f"{kind}.isInteger() -> bool", lambda given: _whole(given) is not None)
    yield function(f"{kind}.add({kind}) -> {kind}", lambda one, more: Quantity(one.amount + more.amount))
    yield function(f"{kind}.add(int) -> {kind}", lambda one, more: Quantity(one.amount + _units(more).amount))
    yield function(f"{kind}.sub({kind}) -> {kind}", lambda one, less: Quantity(one.amount - less.amount))
    yield function(f"{kind}.sub(int) -> {kind}", lambda one, less: Quantity(one.amount - _units(less).amount))
    kind = "kubernetes.Semver"
    yield function(f"semver(string) -> {kind}", semver, costs.text)
    yield function(f"semver(string, bool) -> {kind}", semver, costs.text)
    yield function("isSemver(string) -> bool", lambda text: _is(lambda: semver(text)), costs.text)
    yield function(
        "isSemver(string, bool) -> bool", lambda text, lenient: _is(lambda: semver(text, lenient)), costs.text
    )
    yield function(f"{kind}.isGreaterThan({kind}) -> bool", lambda one, other: one.order > other.order)
    yield function(f"{kind}.isLessThan({kind}) -> bool", lambda one, other: one.order < other.order)
    yield function(f"{kind}.compareTo({kind}) -> int", lambda one, other: _order(one.order, other.order))
    yield function(f"{kind}.major() -> int", lambda given: given.numbers[0])
    yield function(f"{kind}.minor() -> int", lambda given: given.numbers[1])
    yield function(f"{kind}.patch() -> int", lambda given: given.numbers[2])
    kind = "kubernetes.NamedFormat"
    for name, given in _FORMATS.items():
        yield function(f"format.{name}() -> {kind}", _constant(given))
    yield function(
        f"format.named(string) -> optional_type({kind})",
        lambda name: Optional(_FORMATS[name], True) if name in _FORMATS else NONE,
    )
    yield function(f"{kind}.validate(string) -> optional_type(list(string))", _validated, _validation_cost, True)


FUNCTIONS: tuple[Overload, ...] = tuple(_functions())


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


PATCH_FUNCTIONS: tuple[Overload, ...] = (function("jsonpatch.escapeKey(string) -> string", _escaped, costs.text),)
