"""What pods ask for and nodes offer, in whole numbers.

Source: KEP-753 (sidecars), KEP-2837 (pod-level resources), KEP-688 (overhead).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import formats
from apimachinery.objects import Obj
from apimachinery.pods.totals import parsed, total
from apimachinery.quantity import Quantity

Amounts = Mapping[str, int]
"""Resource name to amount: milli-cores for `cpu`, whole units (bytes, pieces) for everything else."""


def is_extended(name: str) -> bool:
    """Whether a resource is one that somebody else than Kubernetes counts (example.com/gpu)."""
    native = "/" not in name or "kubernetes.io/" in name
    return not native and not name.startswith("requests.") and not formats.qualified_name(f"requests.{name}")


def amounts(quantities: Mapping[str, Any]) -> dict[str, int]:
    """Parsed quantities, zero amounts left out."""
    return _whole(parsed(quantities))


def pod_requests(spec: Obj, floor: Mapping[str, Quantity] | None = None) -> dict[str, int]:
    """What a pod asks of its node, overhead included; `floor`: what a container counts that says nothing of a
    resource."""
    return _whole(total(spec, "requests", overhead=True, floor=floor or {}))


def _whole(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    found = {name: (q.milli() if name == "cpu" else q.value()) for name, q in quantities.items()}
    return {name: amount for name, amount in found.items() if amount}
