"""What a pod asks for and may use in all, as quantities in the writing of its author: for limits and quotas.

The scheduler and the agent count whole numbers (requests.py); whoever shows a sum to people needs its suffix.
Source: KEP-753 (sidecars), KEP-2837 (pod-level resources), KEP-688 (overhead).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.objects import Obj
from apimachinery.pods.requests import is_huge_page
from apimachinery.quantity import Quantity, parse

Amounts = dict[str, Quantity]
_POD_LEVEL = ("cpu", "memory")


def parsed(quantities: Mapping[str, Any] | None) -> Amounts:
    """A ResourceList, zero amounts kept."""
    return {name: parse(amount) for name, amount in (quantities or {}).items()}


def total(spec: Obj, side: str, overhead: bool) -> Amounts:
    """The pod's requests or limits (side): its containers and sidecars, or the most that an init container takes
    beside the sidecars started before it; pod-level resources override. overhead: what the runtime takes is added, to
    limits only where there is one.
    """
    running = _sum(spec, side)
    level = parsed((spec.get("resources") or {}).get(side))
    running.update({name: amount for name, amount in level.items() if name in _POD_LEVEL or is_huge_page(name)})
    if overhead:
        for name, amount in parsed(spec.get("overhead")).items():
            if side == "requests" or running.get(name):
                running[name] = _plus(running.get(name), amount)
    return running


def _sum(spec: Obj, side: str) -> Amounts:
    running: Amounts = {}
    for container in spec.get("containers") or ():
        add(running, _of(container, side))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        wants = _of(container, side)
        if container.get("restartPolicy") == "Always":
            add(running, wants)
            add(sidecars, wants)
            wants = sidecars
        else:
            add(wants, sidecars)
        _raise_to(peak, wants)
    _raise_to(running, peak)
    return running


def _of(container: Obj, side: str) -> Amounts:
    return parsed((container.get("resources") or {}).get(side))


def _plus(standing: Quantity | None, more: Quantity) -> Quantity:
    return more if standing is None else standing + more


def add(running: Amounts, more: Mapping[str, Quantity]) -> None:
    """Add amounts to a running total, in place."""
    for name, amount in more.items():
        running[name] = _plus(running.get(name), amount)


def _raise_to(running: Amounts, other: Mapping[str, Quantity]) -> None:
    for name, amount in other.items():
        if name not in running or amount > running[name]:
            running[name] = amount
