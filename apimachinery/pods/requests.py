"""What pods ask for and nodes offer, in whole numbers.

Source: KEP-753 (sidecars), KEP-2837 (pod-level resources), KEP-688 (overhead).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import formats
from apimachinery.objects import Obj
from apimachinery.quantity import parse

Amounts = Mapping[str, int]
"""Resource name to amount: milli-cores for ``cpu``, whole units (bytes, pieces) for everything else."""

HUGE_PAGES = "hugepages-"
# What pod-level requests (spec.resources) may name.
_POD_LEVEL = ("cpu", "memory")


def is_huge_page(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def is_extended(name: str) -> bool:
    """Whether a resource is one that somebody else than Kubernetes counts (example.com/gpu)."""
    native = "/" not in name or "kubernetes.io/" in name
    return not native and not name.startswith("requests.") and not formats.qualified_name(f"requests.{name}")


def amounts(quantities: Mapping[str, Any]) -> dict[str, int]:
    """Parsed quantities, zero amounts left out."""
    parsed = {name: (parse(q).milli() if name == "cpu" else parse(q).value()) for name, q in quantities.items()}
    return {name: amount for name, amount in parsed.items() if amount}


def pod_requests(spec: Obj, floor: Amounts | None = None) -> dict[str, int]:
    """What a pod asks of its node; ``floor``: what a container counts that says nothing of a resource.

    max(sum of app containers and sidecars, each plain init container beside the sidecars started before it),
    plus overhead; pod-level requests (spec.resources) override what they name.
    """
    total = _sum_requests(spec, floor or {})
    level = amounts((spec.get("resources") or {}).get("requests") or {})
    total.update({name: amount for name, amount in level.items() if name in _POD_LEVEL or is_huge_page(name)})
    _add(total, amounts(spec.get("overhead") or {}))
    return total


def _sum_requests(spec: Obj, floor: Amounts) -> dict[str, int]:
    running: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(running, _container_requests(container, floor))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        wants = _container_requests(container, floor)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, wants)
            wants = sidecars
        else:
            _add(wants, sidecars)
        _raise_to(peak, wants)
    _add(running, sidecars)
    _raise_to(running, peak)
    return running


def _container_requests(container: Obj, floor: Amounts) -> dict[str, int]:
    requests = (container.get("resources") or {}).get("requests") or {}
    wants = amounts(requests)
    for name, amount in floor.items():
        if name not in requests:
            wants[name] = amount
    return wants


def _add(total: dict[str, int], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: dict[str, int], other: Amounts) -> None:
    for name, amount in other.items():
        if amount > total.get(name, 0):
            total[name] = amount
