"""What of the pools a node reaches. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.scheduler.devices.slices import Counters, Device, PoolId, Slice


@dataclass(frozen=True, eq=False)
class Pool:
    """A pool as one node sees it: the devices it reaches, in the order in which they are tried.

    `incomplete`: the driver has not published all of it yet. `invalid`: what is wrong with it. `others`: devices of the
    pool that the node does not reach, for they may consume its counters.
    """

    id: PoolId
    devices: tuple[Device, ...] = ()
    others: tuple[Device, ...] = ()
    counters: Counters = field(default_factory=dict)
    incomplete: bool = False
    invalid: str = ""


class Published:
    """The slices there are. A node asks about the pools alone that have something for it: there may be one for each
    node.
    """

    def __init__(self) -> None:
        self._slices: dict[PoolId, list[Slice]] = {}
        # By node, "" for slices that are not one node's: the pools they are of, by how many slices.
        self._pools: dict[str, Counter[PoolId]] = {}

    def add(self, found: Slice) -> None:
        self._slices.setdefault(found.pool, []).append(found)
        self._pools.setdefault(_node_of(found), Counter())[found.pool] += 1

    def remove(self, found: Slice) -> None:
        self._slices[found.pool].remove(found)
        if not self._slices[found.pool]:
            del self._slices[found.pool]
        pools = self._pools[_node_of(found)]
        pools[found.pool] -= 1
        if not pools[found.pool]:
            del pools[found.pool]
            if not pools:
                del self._pools[_node_of(found)]

    def reached(self, called: str, labels: Mapping[str, str]) -> list[Pool]:
        """The pools that a node of that name and labels reaches, by driver and name; those with devices that are made
        ready while a pod waits for its binding come last.
        """
        known = {which for place in ("", called) for which in self._pools.get(place, ())}
        found = [pool for which in sorted(known) if (pool := _pool(which, self._slices[which], called, labels))]
        return sorted(found, key=lambda pool: any(device.obj.get("bindingConditions") for device in pool.devices))


def _node_of(found: Slice) -> str:
    return "" if found.counters else found.reach.node


def _pool(which: PoolId, slices: Sequence[Slice], called: str, labels: Mapping[str, str]) -> Pool | None:
    reached = [each for each in slices if each.concerns(called, labels)]
    if not reached:
        return None
    newest = max(each.generation for each in reached)
    reached = sorted((each for each in reached if each.generation == newest), key=lambda each: each.name)
    every = [each for each in slices if each.generation == newest]
    if len(reached) != reached[0].count:
        if any(each.generation > newest for each in slices):
            # The driver is about to say something else, and has devices for this node in the old words only.
            return None
        if len(every) != reached[0].count:
            return Pool(which, incomplete=True)
    names = [called for each in every for called in each.counters]
    counters = {called: amounts for each in every for called, amounts in each.counters.items()}
    near = [device for each in reached for device in each.devices]
    devices = tuple(device for device in near if device.reach.holds(called, labels))
    others = tuple(d for each in every for d in each.devices if not d.reach.holds(called, labels))
    wrong = _twice("counter set", names) or _twice("device", [device.id[2] for device in near])
    wrong = wrong or _unknown((*devices, *others), counters)
    if wrong:
        return Pool(which, invalid=wrong)
    return Pool(which, devices, others, counters)


def _twice(what: str, names: Sequence[str]) -> str:
    seen: set[str] = set()
    for called in names:
        if called in seen:
            return f"duplicate {what} name {called}"
        seen.add(called)
    return ""


def _unknown(devices: Iterable[Device], counters: Counters) -> str:
    for device in devices:
        for called, amounts in device.consumes.items():
            if called not in counters:
                return f"counter set {called} not found"
            for counter in amounts:
                if counter not in counters[called]:
                    return f"counter {counter} not found in counter set {called}"
    return ""
