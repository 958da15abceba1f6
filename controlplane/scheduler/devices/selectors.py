"""What selectors of requests and classes say of a device."""

from __future__ import annotations

from apimachinery import device_selectors
from controlplane.scheduler.devices.slices import Device


def matches(expression: str, device: Device) -> bool:
    """Whether a selector means the device, asked once for each version of it. ValueError where that cannot be said."""
    found = device.verdicts.get(expression)
    if found is None:
        try:
            program = device_selectors.compiled(expression)
        except device_selectors.Unfit as error:
            raise ValueError(f"CEL compile error: {error}") from error
        try:
            found = device_selectors.matches(program, device.id[0], device.obj)
        except device_selectors.Unanswered as error:
            raise ValueError(f"CEL runtime error: {error}") from error
        device.verdicts[expression] = found
    return found
