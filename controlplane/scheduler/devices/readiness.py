"""Whether what a claim has may be bound already: some devices are made ready first (KEP-5007). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery.objects import Obj, name


class Failed(Exception):
    """A device will not become ready. The text is upstream's."""


def results(claim: Obj) -> list[Obj]:
    """The devices that a claim has."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or ())


def waits(claim: Obj) -> bool:
    """Whether any of its devices has to be made ready."""
    return any(result.get("bindingConditions") for result in results(claim))


def is_ready(claim: Obj) -> bool:
    """Whether all of them are. Failed."""
    for result in results(claim):
        if not result.get("bindingConditions"):
            continue
        told = {each["type"]: each for each in _conditions(claim, result)}
        for kind in result.get("bindingFailureConditions") or ():
            if (found := told.get(kind, {})).get("status") == "True":
                why = f'reason={found.get("reason", "")}, message="{found.get("message", "")}"'
                raise Failed(f"device binding failed: claim={name(claim)}, {why}")
        if any(told.get(kind, {}).get("status") != "True" for kind in result["bindingConditions"]):
            return False
    return True


def _conditions(claim: Obj, result: Obj) -> Iterator[Obj]:
    place = ("driver", "pool", "device")
    for device in (claim.get("status") or {}).get("devices") or ():
        if all(device.get(part) == result.get(part) for part in place):
            yield from device.get("conditions") or ()
