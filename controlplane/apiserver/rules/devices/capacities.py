"""How much of a device that several claims share each of them may ask for (KEP-5075)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery import errors, quantity
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.values import amount

_MOST_OPTIONS = 10
_BOTH = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'


def policy(path: str, wanted: Obj, capacity: Any) -> Iterator[FieldError]:
    """What is wrong with a request policy; path: its own, capacity: the quantity that is shared."""
    options, limits, default = wanted.get("validValues") or [], wanted.get("validRange"), wanted.get("default")
    if options and limits is not None:
        yield errors.field_forbidden(path, _BOTH)
    elif (options or limits is not None) and default is None:
        yield errors.required(
            f"{path}.default", f"required when {'validValues' if options else 'validRange'} is defined"
        )
    elif options:
        yield from _options(f"{path}.validValues", options, default, capacity)
    elif limits is not None:
        yield from _range(f"{path}.validRange", limits, default, capacity)


def _shown(value: Any) -> str:
    return quantity.canonical(value)


def _options(path: str, options: list[Any], default: Any, capacity: Any) -> Iterator[FieldError]:
    amounts = [amount(option) for option in options]
    for index in range(1, len(options)):
        if amounts[index - 1] > amounts[index]:
            text = "values must be sorted in ascending order"
            yield errors.invalid(f"{path}[{index}]", _shown(options[index]), text)
    if len(options) > _MOST_OPTIONS:
        yield errors.too_many(path, len(options), _MOST_OPTIONS)
    else:
        for index, option in enumerate(options):
            if amounts[index] > amount(capacity):
                text = f"option is larger than capacity value: {_shown(capacity)}"
                yield errors.invalid(f"{path}[{index}]", _shown(option), text)
        whole = [each.value() for each in amounts]
        for index, value in enumerate(whole):
            if value in whole[:index]:
                yield errors.duplicate(f"{path}[{index}]", str(value))
    if len(options) > _MOST_OPTIONS or amount(default) not in amounts:
        yield errors.invalid(path, _shown(default), "default value is not valid according to the requestPolicy")


def _range(path: str, limits: Obj, default: Any, capacity: Any) -> Iterator[FieldError]:
    low, high, step = (limits.get(field) for field in ("min", "max", "step"))
    if low is None:
        yield errors.required(f"{path}.min", "required when validRange is defined")
        return
    yield from _bounds(path, low, high, default, capacity)
    if step is None:
        return
    first = amount(low) + amount(step)
    if first > amount(capacity):
        text = f"one step {first} is larger than capacity value: {_shown(capacity)}"
        yield errors.invalid(f"{path}.step", _shown(step), text)
    for value in (default, high):
        if value is not None and not _reached(amount(value).value() - amount(low).value(), amount(step).value()):
            text = f"value is not a multiple of a given step ({_shown(step)}) from ({_shown(low)})"
            yield errors.invalid(f"{path}.step", _shown(value), text)


def _reached(distance: int, step: int) -> bool:
    """No number of steps of nothing leads anywhere."""
    return distance % step == 0 if step else distance == 0


def _bounds(path: str, low: Any, high: Any, default: Any, capacity: Any) -> Iterator[FieldError]:
    if amount(low) > amount(capacity):
        text = f"min is larger than capacity value: {_shown(capacity)}"
        yield errors.invalid(f"{path}.min", _shown(low), text)
    if amount(default) < amount(low):
        yield errors.invalid(f"{path}.min", _shown(default), f"default is less than min: {_shown(low)}")
    if high is None:
        return
    if amount(low) > amount(high):
        yield errors.invalid(f"{path}.max", _shown(low), f"min is larger than max: {_shown(high)}")
    if amount(high) > amount(capacity):
        text = f"max is larger than capacity value: {_shown(capacity)}"
        yield errors.invalid(f"{path}.max", _shown(high), text)
    if amount(default) > amount(high):
        yield errors.invalid(f"{path}.max", _shown(default), f"default is more than max: {_shown(high)}")
