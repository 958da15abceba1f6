"""Whether devices chosen for a claim may be together: all with one value of an attribute, or all different. Pure."""

from __future__ import annotations

from typing import Any

from controlplane.scheduler.devices.slices import Device
from controlplane.scheduler.devices.wishes import Constraint, Request


class Held:
    """A constraint and the values of the devices chosen so far, the last at the end."""

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._values: list[tuple[str, Any]] = []

    def concerns(self, request: Request) -> bool:
        """Whether devices of the request are bound by it."""
        names = self._constraint.requests
        return not names or request.is_among(names)

    def add(self, device: Device) -> bool:
        """Whether the device may be there, too; it is then counted in. One without the attribute may not."""
        value = device.attribute(self._constraint.attribute)
        if value is None or not value[0]:
            return False
        if self._values and (value in self._values if self._constraint.distinct else value != self._values[0]):
            return False
        self._values.append(value)
        return True

    def drop(self) -> None:
        """The device counted in last is not chosen after all."""
        self._values.pop()
