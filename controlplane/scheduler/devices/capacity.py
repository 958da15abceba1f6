"""How much of a shared device a request consumes (KEP-5075). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.quantity import BINARY, NANO, Quantity, parse
from controlplane.scheduler.devices.slices import Capacity


def consumed(wanted: Mapping[str, Quantity], offered: Mapping[str, Capacity]) -> dict[str, Quantity] | None:
    """The amounts that a request takes of each of a device's capacities; None where the device cannot give them in such
    portions, or does not have what is asked for.
    """
    if not wanted.keys() <= offered.keys():
        return None
    found = {}
    for name, capacity in offered.items():
        amount = _portion(wanted.get(name), capacity)
        if _violates(amount, capacity.policy or {}):
            return None
        found[name] = amount
    return found


def _portion(wanted: Quantity | None, capacity: Capacity) -> Quantity:
    policy = capacity.policy or {}
    if wanted is None:
        return parse(policy["default"]) if policy.get("default") is not None else capacity.value
    span = policy.get("validRange") or {}
    if span.get("min") is not None:
        return _rounded_up(wanted, span)
    fitting = [value for each in policy.get("validValues") or () if wanted <= (value := parse(each))]
    return fitting[0] if fitting else wanted


def _rounded_up(wanted: Quantity, span: Mapping[str, Any]) -> Quantity:
    least = parse(span["min"])
    if wanted < least:
        return least
    start, step = least.value(), parse(span.get("step") or 0).value()
    if not step:
        return wanted
    steps = -(-(wanted.value() - start) // step)
    return Quantity((start + step * steps) * NANO, BINARY)


def _violates(amount: Quantity, policy: Mapping[str, Any]) -> bool:
    if policy.get("default") is not None and amount == parse(policy["default"]):
        return False
    if (span := policy.get("validRange")) is not None:
        if span.get("max") is not None and amount > parse(span["max"]):
            return True
        step = span.get("step")
        start = parse(span.get("min") or 0).value()
        distance, wide = amount.value() - start, parse(step or 0).value()
        # No number of steps of nothing leads anywhere.
        return step is not None and bool(distance % wide if wide else distance)
    values = policy.get("validValues") or ()
    return bool(values) and all(amount != parse(each) for each in values)
