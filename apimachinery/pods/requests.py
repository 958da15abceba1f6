"""What pods ask for and nodes offer, in whole numbers.

Source: KEP-753 (sidecars), KEP-2837 (pod-level resources), KEP-688 (overhead), KEP-1287 (resize in place).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apimachinery import formats
from apimachinery.objects import Obj
from apimachinery.pods.totals import parsed, total
from apimachinery.quantity import Quantity, parse

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


def in_effect(spec: Obj, status: Obj) -> Obj:
    """The PodSpec with the requests that count on the node while the pod is resized: of each, the most of what is
    wanted, what the node has set aside and what the container has; what is wanted does not count once the node has
    called it infeasible. `spec` itself where nothing differs.
    """
    found = containers_in_effect(spec, status, ("requests",))
    own: Obj = (spec.get("resources") or {}).get("requests") or {}
    if own and (whole := _with(spec, status, _is_infeasible(status), ("requests",))) is not spec:
        requests = {name: whole["resources"]["requests"].get(name, "0") for name in own}
        return {**found, "resources": {**spec["resources"], "requests": requests}}
    return found


def containers_in_effect(spec: Obj, status: Obj, sides: Sequence[str]) -> Obj:
    """The same of the containers alone, and of their requests, limits or both (sides): a limit that counts is the most
    of what is wanted and what the container has."""
    told = {s["name"]: s for part in ("containerStatuses", "initContainerStatuses") for s in status.get(part) or ()}
    if not told:
        return spec
    infeasible = _is_infeasible(status)
    changed: Obj = {}
    for part in ("containers", "initContainers"):
        before = spec.get(part) or ()
        # Init containers that end keep what they have.
        kept = [part == "initContainers" and c.get("restartPolicy") != "Always" for c in before]
        after = [
            c if k else _with(c, told.get(c["name"]) or {}, infeasible, sides)
            for c, k in zip(before, kept, strict=True)
        ]
        if any(new is not old for new, old in zip(after, before, strict=True)):
            changed[part] = after
    return {**spec, **changed} if changed else spec


def _with(owner: Obj, told: Obj, infeasible: bool, sides: Sequence[str]) -> Obj:
    """A container (or a PodSpec) with what is in effect, as its status tells."""
    has = told.get("resources")
    if has is None:
        return owner
    changed: Obj = {}
    for side in sides:
        wanted: Obj = (owner.get("resources") or {}).get(side) or {}
        parts = [has.get(side) or {}]
        if side == "requests":
            parts.append(told.get("allocatedResources") or {})
        if any(part != wanted for part in parts):
            found = _most(parts if infeasible else (wanted, *parts))
            if found != wanted:
                changed[side] = found
    return {**owner, "resources": {**(owner.get("resources") or {}), **changed}} if changed else owner


def _most(parts: Iterable[Obj]) -> Obj:
    found: Obj = {}
    for part in parts:
        for name, amount in part.items():
            if name not in found or parse(amount) > parse(found[name]):
                found[name] = amount
    return found


def _is_infeasible(status: Obj) -> bool:
    found = [c for c in status.get("conditions") or () if c.get("type") == "PodResizePending"]
    return bool(found) and found[0].get("reason") == "Infeasible"


def _whole(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    found = {name: (q.milli() if name == "cpu" else q.value()) for name, q in quantities.items()}
    return {name: amount for name, amount in found.items() if amount}
