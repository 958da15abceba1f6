"""Which devices, and how much of those that are shared, claims have: counted as allocations come and go. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.objects import Obj
from apimachinery.quantity import Quantity, parse
from controlplane.scheduler.devices.slices import DeviceId

NOTHING = Quantity(0)


class Taken:
    """Counts of who has what. Access for administrators takes nothing."""

    def __init__(self) -> None:
        # By how many allocations: two say the same of one device while a claim's promise and its status overlap.
        self._whole: Counter[DeviceId] = Counter()
        self._parts: Counter[DeviceId] = Counter()
        self._amounts: dict[DeviceId, Counter[str]] = {}

    def count(self, allocation: Obj, sign: int) -> None:
        """An allocation (`status.allocation` of a claim) came (1) or went (-1)."""
        for which, shared, amounts in _results(allocation):
            if not shared:
                _bump(self._whole, which, sign)
                continue
            _bump(self._parts, which, sign)
            sums = self._amounts.setdefault(which, Counter())
            for name, amount in amounts.items():
                _bump(sums, name, sign * amount.nanos)
            if which not in self._parts:
                del self._amounts[which]

    def has(self, which: DeviceId) -> bool:
        """Whether somebody has the whole device."""
        return which in self._whole

    def touches(self, which: DeviceId) -> bool:
        """Whether somebody has the device or a part of it."""
        return which in self._whole or which in self._parts

    def amount(self, which: DeviceId, name: str) -> Quantity:
        """How much of a shared device's capacity is given away."""
        return Quantity(self._amounts[which][name]) if which in self._amounts else NOTHING


def _bump(counts: Counter[Any], what: Any, by: int) -> None:
    counts[what] += by
    if not counts[what]:
        del counts[what]


def _results(allocation: Obj) -> Iterator[tuple[DeviceId, bool, Mapping[str, Quantity]]]:
    for result in (allocation.get("devices") or {}).get("results") or ():
        if not result.get("adminAccess"):
            amounts = {name: parse(amount) for name, amount in (result.get("consumedCapacity") or {}).items()}
            yield (result["driver"], result["pool"], result["device"]), bool(result.get("shareID")), amounts
