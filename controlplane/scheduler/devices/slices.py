"""ResourceSlices as frozen views, made once for each version of one. Pure. Source: `resource/v1.ResourceSlice`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.objects import Obj, name
from apimachinery.pods.placement import NodeTerm, node_terms
from apimachinery.quantity import Quantity, parse

DeviceId = tuple[str, str, str]
"""Driver, pool, device."""
PoolId = tuple[str, str]
"""Driver, pool."""
Counters = Mapping[str, Mapping[str, Quantity]]
"""Amounts by counter set and counter."""


@dataclass(frozen=True)
class Reach:
    """From which nodes something is reached: one by name, all, or those that `selector` (v1 NodeSelector) means."""

    node: str = ""
    everywhere: bool = False
    selector: Obj | None = None
    terms: tuple[NodeTerm, ...] = ()

    @property
    def is_said(self) -> bool:
        return bool(self.node) or self.everywhere or self.selector is not None

    def holds(self, called: str, labels: Mapping[str, str]) -> bool:
        """Whether a node of that name and labels is one of them."""
        if self.node:
            return self.node == called
        return self.everywhere or any(term.matches(called, labels) for term in self.terms)


@dataclass(frozen=True)
class Capacity:
    """How much of something a device has, and in which portions it is given away where it is shared."""

    value: Quantity
    policy: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Device:
    """One device. `reach` is its own or its slice's; `verdicts` remembers what selectors said of this version of it."""

    id: DeviceId
    obj: Obj
    reach: Reach
    capacity: Mapping[str, Capacity]
    consumes: Counters
    verdicts: dict[str, bool] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether several requests may have it at once, each a part of its capacity."""
        return bool(self.obj.get("allowMultipleAllocations"))

    @property
    def taints(self) -> tuple[Obj, ...]:
        return tuple(self.obj.get("taints") or ())

    def attribute(self, qualified: str) -> tuple[str, Any] | None:
        """The kind and value of an attribute by its full name (`domain/id`); a name without domain is the driver's."""
        found = self.obj.get("attributes") or {}
        value = found.get(qualified)
        domain, slash, short = qualified.partition("/")
        if value is None and slash and domain == self.id[0]:
            value = found.get(short)
        return (
            next(((kind, value[kind]) for kind in _KINDS if kind in value), ("", None)) if value is not None else None
        )


_KINDS = ("string", "int", "bool", "version")


@dataclass(frozen=True, eq=False)
class Slice:
    """One ResourceSlice. `count`: how many slices the driver says its pool has in this generation."""

    name: str
    pool: PoolId
    generation: int
    count: int
    reach: Reach
    counters: Counters
    devices: tuple[Device, ...]

    def concerns(self, called: str, labels: Mapping[str, str]) -> bool:
        """Whether a node needs it: devices it reaches, or counters that devices of the pool consume."""
        if self.counters:
            return True
        if self.reach.is_said:
            return self.reach.holds(called, labels)
        return any(device.reach.holds(called, labels) for device in self.devices)


def view(obj: Obj) -> Slice:
    """The view of a v1 ResourceSlice."""
    spec = obj["spec"]
    pool = spec["driver"], spec["pool"]["name"]
    apart, reach = bool(spec.get("perDeviceNodeSelection")), _reach(spec)
    return Slice(
        name(obj),
        pool,
        spec["pool"].get("generation") or 0,
        spec["pool"].get("resourceSliceCount") or 0,
        reach,
        {each["name"]: _amounts(each) for each in spec.get("sharedCounters") or ()},
        tuple(_device(pool, each, _reach(each) if apart else reach) for each in spec.get("devices") or ()),
    )


def _device(pool: PoolId, obj: Obj, reach: Reach) -> Device:
    capacity = obj.get("capacity") or {}
    return Device(
        (*pool, obj["name"]),
        obj,
        reach,
        {called: Capacity(parse(each["value"]), each.get("requestPolicy")) for called, each in capacity.items()},
        {each["counterSet"]: _amounts(each) for each in obj.get("consumesCounters") or ()},
    )


def _reach(obj: Obj) -> Reach:
    selector = obj.get("nodeSelector")
    return Reach(obj.get("nodeName") or "", bool(obj.get("allNodes")), selector, node_terms(selector or {}))


def _amounts(obj: Obj) -> dict[str, Quantity]:
    return {called: parse(each["value"]) for called, each in (obj.get("counters") or {}).items()}
