"""What selectors of requests and classes say of a device."""

from __future__ import annotations

from controlplane.scheduler.devices.slices import Device


def matches(expression: str, device: Device) -> bool:
    """Whether a selector means the device, asked once for each version of it. ValueError where that cannot be said."""
    if expression not in device.verdicts:
        raise ValueError(f"CEL expressions are not evaluated: {expression}")
    return device.verdicts[expression]
