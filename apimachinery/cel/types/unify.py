"""Whether a type fits another, and what its parameters must be for that. Pure.

The rules are those of CEL's reference checker: dyn and errors fit everything, null fits what can be absent.
"""

from __future__ import annotations

from apimachinery.cel.types.kinds import DYN, Type

Bound = dict[str, Type]
_NULLABLE = frozenset(("opaque", "object", "duration", "timestamp", "null", "wrapper"))
_COMPOSED = frozenset(("opaque", "list", "map"))


def is_dyn(given: Type) -> bool:
    return given.kind == "dyn"


def is_dyn_or_error(given: Type) -> bool:
    return given.kind in ("dyn", "error")


class _Trial:
    """What parameters would stand for; nothing is copied, since there can be many of them."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self.new: Bound = {}

    def get(self, name: str) -> Type | None:
        found = self.new.get(name)
        return self._bound.get(name) if found is None else found

    def __setitem__(self, name: str, given: Type) -> None:
        self.new[name] = given


def assignable(bound: Bound, wanted: tuple[Type, ...], given: tuple[Type, ...]) -> bool:
    """Whether these fit those, one by one; what parameters stand for with that is noted where they do."""
    trial = _Trial(bound)
    fits = _all(trial, wanted, given)
    if fits:
        bound.update(trial.new)
    return fits


def _all(bound: _Trial, first: tuple[Type, ...], second: tuple[Type, ...]) -> bool:
    return len(first) == len(second) and all(_fits(bound, one, other) for one, other in zip(first, second, strict=True))


def _fits(bound: _Trial, first: Type, second: Type) -> bool:
    if first is second and not first.open:
        return True
    if second.kind == "param":
        valid, known = _substitutes(bound, first, second)
        if valid:
            return True
        if known:
            return False
    if first.kind == "param":
        return _substitutes(bound, second, first)[0]
    if is_dyn_or_error(first) or is_dyn_or_error(second):
        return True
    if first.kind == "null":
        return second.kind in _NULLABLE
    if second.kind == "null":
        return first.kind in _NULLABLE
    if first.kind == "type":
        return second.kind == "type"
    if first.kind in _COMPOSED:
        return first.kind == second.kind and first.name == second.name and _all(bound, first.params, second.params)
    return first == second


def _substitutes(bound: _Trial, given: Type, param: Type) -> tuple[bool, bool]:
    """Whether a type can stand for a parameter, and whether that stood for something already."""
    if given == param:
        return True, True
    known = bound.get(param.name)
    if known is not None:
        if given == known:
            return True, True
        if _fits(bound, given, known):
            general = most_general(given, known)
            if _absent(bound, param, general):
                bound[param.name] = general
            return True, True
        return False, True
    if _absent(bound, param, given):
        bound[param.name] = given
        return True, False
    return False, False


def _absent(bound: _Trial, param: Type, within: Type) -> bool:
    """Whether a parameter is no part of a type: else it would be a part of itself."""
    if not within.open:
        return True
    if param == within:
        return False
    if within.kind == "param":
        known = bound.get(within.name)
        return known is None or _absent(bound, param, known)
    return all(_absent(bound, param, each) for each in within.params)


def most_general(first: Type, second: Type) -> Type:
    """The more general of two types that fit."""
    return first if _less_specific(first, second) else second


def _less_specific(first: Type, second: Type) -> bool:
    if is_dyn(first) or first.kind == "param":
        return True
    if is_dyn(second) or second.kind == "param" or first.kind != second.kind:
        return False
    if first.kind in _COMPOSED:
        return (
            first.name == second.name
            and len(first.params) == len(second.params)
            and all(_less_specific(one, other) for one, other in zip(first.params, second.params, strict=True))
        )
    return first.kind == "type" or first == second


def substituted(bound: Bound, given: Type, free_is_dyn: bool) -> Type:
    """A type with its parameters replaced; free ones stay, or become dyn."""
    if given.kind == "param":
        known = bound.get(given.name)
        if known is not None:
            return substituted(bound, known, free_is_dyn)
        return DYN if free_is_dyn else given
    if not given.open:
        return given
    return Type(given.kind, given.name, tuple(substituted(bound, each, free_is_dyn) for each in given.params))
