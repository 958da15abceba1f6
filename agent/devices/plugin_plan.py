"""Which devices of a resource a container gets. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from apimachinery.objects import Obj
from apimachinery.quantity import parse


@dataclass(frozen=True)
class Choice:
    """`must`: what the container gets in any case; `free`: what the rest is chosen from; `needed`: how many in all."""

    must: tuple[str, ...]
    free: tuple[str, ...]
    needed: int

    def taken(self, preferred: Sequence[str] = ()) -> tuple[str, ...]:
        """The devices, with what the plugin prefers before others."""
        rest = [*(each for each in preferred if each in self.free), *self.free]
        return tuple(dict.fromkeys((*self.must, *rest)))[: self.needed]


def wanted(container: Obj, resources: Collection[str]) -> dict[str, int]:
    """How many devices of each of the resources a container asks for."""
    limits = (container.get("resources") or {}).get("limits") or {}
    amounts = {name: parse(limits[name]).value() for name in sorted(resources) if name in limits}
    return {name: amount for name, amount in amounts.items() if amount}


def lost(resource: str, needed: int, had: Collection[str], devices: Mapping[str, bool]) -> str:
    """Why a container cannot go on with the devices it was given before; "" where it can."""
    if len(had) != needed:
        return f"the request for {resource} changed from {len(had)} to {needed}"
    if not any(devices.values()):
        return f"no healthy devices present; cannot allocate unhealthy devices {resource}"
    if not all(devices.get(each) for each in had):
        return f"previously allocated devices are no longer healthy; cannot allocate unhealthy devices {resource}"
    return ""


def choice(
    resource: str, needed: int, devices: Mapping[str, bool], used: Collection[str], reusable: Collection[str]
) -> Choice | str:
    """`devices`: whether each is healthy; `used`: by containers of any pod; `reusable`: those of this pod's init
    containers, which are through when the others begin. A text says why there are not enough.
    """
    healthy = [each for each in sorted(devices) if devices[each]]
    if not healthy:
        return f"no healthy devices present; cannot allocate unhealthy devices {resource}"
    must = tuple(each for each in healthy if each in reusable)[:needed]
    free = tuple(each for each in healthy if each not in used)
    if len(must) + len(free) < needed:
        missing = needed - len(must)
        return f"requested number of devices unavailable for {resource}. Requested: {missing}, Available: {len(free)}"
    return Choice(must, free, needed)
