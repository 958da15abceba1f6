"""What selectors of requests and classes say of a device."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery import device_selectors
from apimachinery.cel.door import Budget
from controlplane.scheduler.devices.slices import Device

# What an expression may cost in the time in which a device is tried.
_COST_OF_STEP = 20
# Verdicts that are remembered of a device: claims' expressions come and go, and the device stays.
_MOST_VERDICTS = 64


def matches(expression: str, device: Device, spend: Callable[[int], None]) -> bool:
    """Whether a selector means the device, asked once for each version of it. ValueError where that cannot be said.

    `spend` is told what it took, in devices that could have been tried.
    """
    found = device.verdicts.get(expression)
    if found is None:
        budget = Budget(device_selectors.MOST)
        try:
            program = device_selectors.compiled(expression)
        except device_selectors.Unfit as error:
            raise ValueError(f"CEL compile error: {error}") from error
        try:
            found = device_selectors.matches(program, device.id[0], device.obj, budget)
        except device_selectors.Unanswered as error:
            raise ValueError(f"CEL runtime error: {error}") from error
        if len(device.verdicts) >= _MOST_VERDICTS:
            device.verdicts.clear()
        device.verdicts[expression] = found
        spend(budget.spent // _COST_OF_STEP)
    return found
