"""What a pod asks for and may use in all: its containers, sidecars, init containers, overhead and its own resources.

Quantities in the writing of their author, since limits and quotas are shown to people; requests.py has the same sums as
the whole numbers that scheduler and agent count.
Source: KEP-753 (sidecars), KEP-2837 (pod-level resources), KEP-688 (overhead).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.objects import Obj
from apimachinery.quantity import Quantity, parse

Amounts = dict[str, Quantity]
HUGE_PAGES = "hugepages-"
# What pod-level resources (spec.resources) may name.
_POD_LEVEL = ("cpu", "memory")
_NOTHING: Mapping[str, Quantity] = {}


def is_huge_page(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def is_pod_level(name: str) -> bool:
    """Whether a pod may say of a resource what all its containers take together."""
    return name in _POD_LEVEL or is_huge_page(name)


def parsed(quantities: Mapping[str, Any] | None) -> Amounts:
    """A ResourceList, zero amounts kept."""
    return {name: parse(amount) for name, amount in (quantities or {}).items()}


def stated(resources: Obj | None, side: str) -> Obj:
    """The requests or limits of a ResourceRequirements; what is only limited is requested, too, as the API server
    defaults it and as manifests that met none mean it."""
    resources = resources or {}
    own: Obj = resources.get(side) or {}
    return {**(resources.get("limits") or {}), **own} if side == "requests" else own


def total(spec: Obj, side: str, overhead: bool, floor: Mapping[str, Quantity] = _NOTHING) -> Amounts:
    """The pod's requests or limits (side): its containers and sidecars, or the most that an init container takes
    beside the sidecars started before it; pod-level resources override. overhead: what the runtime takes is added, to
    limits only where there is one. floor: what a container counts that says nothing of a resource.
    """
    running = _sum(spec, side, floor)
    level = parsed(stated(spec.get("resources"), side))
    running.update({name: amount for name, amount in level.items() if is_pod_level(name)})
    if overhead:
        for name, amount in parsed(spec.get("overhead")).items():
            if side == "requests" or running.get(name):
                running[name] = _plus(running.get(name), amount)
    return running


def _sum(spec: Obj, side: str, floor: Mapping[str, Quantity]) -> Amounts:
    running: Amounts = {}
    for container in spec.get("containers") or ():
        add(running, _of(container, side, floor))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        wants = _of(container, side, floor)
        if container.get("restartPolicy") == "Always":
            add(running, wants)
            add(sidecars, wants)
            wants = sidecars
        else:
            add(wants, sidecars)
        _raise_to(peak, wants)
    _raise_to(running, peak)
    return running


def _of(container: Obj, side: str, floor: Mapping[str, Quantity]) -> Amounts:
    return {**floor, **parsed(stated(container.get("resources"), side))}


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
