"""What calls can cost, by the sizes of what they are given, and how large what they make can be.

Pure. Figures: upstream's, which are part of the API. Where an estimate differs from what an evaluation is charged
(`libraries/costs`), so it does there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from apimachinery.cel.estimation.ranges import MOST, ONE, PATTERN, TRAVERSAL, UNKNOWN, Range, fixed
from apimachinery.cel.types.kinds import Overload, Type


class Argument(NamedTuple):
    """What a call is given: its type, its size where that is known, the size of its elements, and a literal's value."""

    type: Type
    size: Range | None
    element: Range | None = None
    literal: object = None

    @property
    def range(self) -> Range:
        return UNKNOWN if self.size is None else self.size


class Estimate(NamedTuple):
    """The cost of a call itself, without its arguments, and the size of its result where that is known."""

    cost: Range
    size: Range | None = None


Args = Sequence[Argument]
_LIST = fixed(10)
_CHECK = fixed(350_000)
_ADDRESS = Range(4, 16)
_LONGEST_NAME_PATTERN, _LONGEST_FORMAT = 128, 64


def _steps(_overload: Overload, _args: Args) -> Estimate:
    return Estimate(ONE)


def _checked(_overload: Overload, _args: Args) -> Estimate:
    return Estimate(_CHECK)


def _gone_through(times: float, result: bool = False) -> Callable[[Overload, Args], Estimate]:
    def estimated(_overload: Overload, args: Args) -> Estimate:
        size = args[0].range
        return Estimate(size.scaled(times * TRAVERSAL), size if result else None)

    return estimated


def _selector(_overload: Overload, args: Args) -> Estimate:
    size = args[1].range
    return Estimate(_LIST.plus(size.scaled(TRAVERSAL)).plus(size.scaled(0.5).scaled(50)))


def _elements(_overload: Overload, args: Args) -> Estimate:
    listed = args[0]
    if not listed.type.params:
        return Estimate(listed.range.scaled(TRAVERSAL))
    cost = ONE
    if listed.type.params[0].kind in ("string", "bytes"):
        cost = cost.plus((UNKNOWN if listed.element is None else listed.element).scaled(TRAVERSAL))
    return Estimate(listed.range.times(cost))


def _replaced(_overload: Overload, args: Args) -> Estimate:
    size, old, new = (arg.range for arg in args[:3])
    least, most = size.least, size.most
    if old.least == 0:
        high, kept_high = min(most + 1, MOST), most
    elif new.most <= old.least:
        high, kept_high = 0, most
    else:
        high, kept_high = math.ceil(most / old.least), 0
    if old.most == 0:
        low, kept_low = min(least + 1, MOST), least
    elif old.most <= new.least:
        low, kept_low = 0, least
    else:
        low, kept_low = math.ceil(least / old.most), 0
    return Estimate(size.scaled(2 * TRAVERSAL), Range(low, high).times(new).plus(Range(kept_low, kept_high)))


def _split(_overload: Overload, args: Args) -> Estimate:
    size = args[0].range
    most = args[2].literal if len(args) > 2 else None
    return Estimate(size.scaled(2 * TRAVERSAL), Range(0, most % 2**64 if type(most) is int else size.most))


def _joined(_overload: Overload, args: Args) -> Estimate:
    listed, size = args[0].range, fixed(0)
    if args[0].type.params:
        size = listed.times(UNKNOWN if args[0].element is None else args[0].element)
    if len(args) > 1:
        size = size.plus(args[1].range.times(Range(max(listed.least - 1, 0), max(listed.most - 1, 0))))
    return Estimate(size.scaled(TRAVERSAL), size)


def _found(_overload: Overload, args: Args) -> Estimate:
    size = args[0].range
    return Estimate(_by_pattern(size, args[1].range), Range(0, size.most))


def _by_pattern(text: Range, pattern: Range) -> Range:
    return text.plus(ONE).scaled(TRAVERSAL).times(pattern.scaled(PATTERN))


def _within(network: bool) -> Callable[[Overload, Args], Estimate]:
    def estimated(overload: Overload, args: Args) -> Estimate:
        cost = _ADDRESS.plus(_ADDRESS).scaled(TRAVERSAL)
        if network:
            cost = cost.plus(_ADDRESS.scaled(TRAVERSAL)).plus(ONE)
        return Estimate(cost.plus(args[1].range.scaled(TRAVERSAL)) if overload.args[1].kind == "string" else cost)

    return estimated


def _address(overload: Overload, args: Args) -> Estimate:
    return Estimate(args[0].range.scaled(TRAVERSAL) if overload.args[0].kind == "string" else ONE)


def _validated(_overload: Overload, args: Args) -> Estimate:
    return Estimate(args[1].range.scaled(TRAVERSAL).scaled(_LONGEST_NAME_PATTERN * PATTERN))


def _new_list(factor: float, size: Range) -> Estimate:
    return Estimate(size.scaled(factor).plus(ONE).plus(_LIST), size)


def _literal(arg: Argument, otherwise: int) -> int:
    value = arg.literal
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _sliced(_overload: Overload, args: Args) -> Estimate:
    length = _literal(args[2], args[0].range.most) - _literal(args[1], 0)
    return _new_list(1, fixed(length % 2**64))


def _flat(_overload: Overload, args: Args) -> Estimate:
    return _new_list(_literal(args[1], MOST) if len(args) > 1 else 1, args[0].range)


def _sorted_by(place: int) -> Callable[[Overload, Args], Estimate]:
    def estimated(overload: Overload, args: Args) -> Estimate:
        size, by_text = args[place].range, overload.args[place].params[0].kind in ("string", "bytes")
        return _new_list(2 + TRAVERSAL * by_text, size.times(size))

    return estimated


def _sets(factor: int) -> Callable[[Overload, Args], Estimate]:
    return lambda _overload, args: Estimate(args[0].range.times(args[1].range).scaled(factor).plus(ONE))


def _converted(overload: Overload, args: Args) -> Estimate:
    kind, size = overload.args[0].kind, args[0].range
    if (overload.function, kind) == ("bytes", "string"):
        return Estimate(size.scaled(TRAVERSAL), Range(size.least, size.most * 4 % 2**64))
    if (overload.function, kind) == ("string", "bytes"):
        return Estimate(size.scaled(TRAVERSAL), Range(size.least // 4, size.most))
    return Estimate(ONE)


def _quoted(_overload: Overload, args: Args) -> Estimate:
    size = args[0].range
    return Estimate(size.scaled(TRAVERSAL), Range(size.least + 2, (size.most * 2 + 2) % 2**64))


def _listed(overload: Overload, args: Args) -> Estimate:
    return Estimate(args[1].range if overload.args[1].kind == "list" else ONE)


def _matched(overload: Overload, args: Args) -> Estimate:
    # Upstream tells the cost of the member alone.
    return Estimate(_by_pattern(args[0].range, args[1].range) if overload.member else ONE)


def _contains(_overload: Overload, args: Args) -> Estimate:
    return Estimate(args[0].range.scaled(TRAVERSAL).times(args[1].range.scaled(TRAVERSAL)))


def _added(overload: Overload, args: Args) -> Estimate:
    kind = overload.args[0].kind
    if kind not in ("string", "bytes", "list"):
        return Estimate(ONE)
    size = args[0].range.plus(args[1].range)
    return Estimate(ONE if kind == "list" else size.scaled(TRAVERSAL), size)


def _compared(overload: Overload, args: Args) -> Estimate:
    if overload.function not in ("_==_", "_!=_") and overload.args[0].kind not in ("string", "bytes"):
        return Estimate(ONE)
    if overload.function == "_==_" and args[0].type == args[1].type and (known := _AT_ONCE.get(args[0].type.name)):
        return Estimate(known)
    most = min(args[0].range.most, args[1].range.most)
    return Estimate(Range(min(most, 1), most).scaled(TRAVERSAL))


# Values of libraries whose equality costs no more, however they were written.
_AT_ONCE = {
    **dict.fromkeys(("net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.URL"), ONE),
    "kubernetes.NamedFormat": Range(1, _LONGEST_FORMAT).scaled(TRAVERSAL),
}
_ESTIMATES: dict[str, Callable[[Overload, Args], Estimate]] = {
    "check": _checked,
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _elements),
    **dict.fromkeys(
        ("url", "jsonpatch.escapeKey", "lowerAscii", "upperAscii", "substring", "trim"), _gone_through(1, True)
    ),
    **dict.fromkeys(
        ("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver", "format"), _gone_through(1)
    ),
    "endsWith": lambda _overload, args: Estimate(args[1].range.scaled(TRAVERSAL)),
    "startsWith": lambda _overload, args: Estimate(args[1].range.scaled(TRAVERSAL)),
    "ip": _address,
    "ip.isCanonical": _gone_through(2),
    "replace": _replaced,
    "split": _split,
    "join": _joined,
    "find": _found,
    "findAll": _found,
    "containsIP": _within(False),
    "containsCIDR": _within(True),
    "validate": _validated,
    "slice": _sliced,
    "flatten": _flat,
    "lists.range": lambda _overload, args: _new_list(1, fixed(_literal(args[0], MOST))),
    "reverse": lambda _overload, args: _new_list(1, args[0].range),
    "distinct": lambda _overload, args: _new_list(2, args[0].range.times(args[0].range)),
    "sort": _sorted_by(0),
    "@sortByAssociatedKeys": _sorted_by(1),
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
    "bytes": _converted,
    "string": _converted,
    "strings.quote": _quoted,
    "@in": _listed,
    "matches": _matched,
    "contains": _contains,
    "_+_": _added,
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _compared),
}


def estimated(overload: Overload, args: Args) -> Estimate:
    """What a call of an overload can cost; a target is its first argument."""
    return _ESTIMATES.get(overload.function, _steps)(overload, args)
