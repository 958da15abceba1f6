"""Which devices claims get on one node: the first solution found by trying all, as upstream does. Pure.

Claims, their requests and the devices are tried in order; what does not lead to a whole solution is taken back. So a
driver says by the names of its pools, slices and devices what is to be tried first.
Source: KEP-4381 (structured parameters), KEP-4815 (counters), KEP-4816 (alternatives), KEP-5055 (taints), KEP-5075
(shared devices).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from apimachinery.objects import Obj
from apimachinery.quantity import Quantity
from controlplane.scheduler.devices import capacity
from controlplane.scheduler.devices.constraints import Held
from controlplane.scheduler.devices.pools import Pool
from controlplane.scheduler.devices.slices import Device, DeviceId
from controlplane.scheduler.devices.taken import NOTHING, Taken
from controlplane.scheduler.devices.wishes import ALL, Request, Wish, selectors

# API: a claim's allocation has no more results than these.
LARGEST = 32

Matches = Callable[[str, Device, Callable[[int], None]], bool]
"""Whether a selector's expression means a device; how many steps it took is told to the last argument. ValueError where
that cannot be said.
"""


class Impossible(Exception):
    """There is something wrong with the claim or its class: no node can help. The text is upstream's."""


class Endless(Exception):
    """More was tried than may be."""


class TooLarge(Exception):
    """The results of the alternatives tried so far are too many for the claim."""


@dataclass(frozen=True)
class Pick:
    """A device for a request, with what it takes of one that is shared."""

    request: Request
    device: Device
    amounts: Mapping[str, Quantity]


@dataclass
class _Asked:
    """What a request comes to on the node: how many devices; which, where it wants all."""

    request: Request
    device_class: Obj
    count: int
    every: list[Device] = field(default_factory=list)


class Search:
    """One search. `steps`: how many devices may be tried.

    `classes` by name; `pools` in the order in which they are tried.
    """

    def __init__(
        self, pools: Sequence[Pool], classes: Mapping[str, Obj], taken: Taken, matches: Matches, steps: int
    ) -> None:
        self._pools, self._classes, self._taken, self._matches = pools, classes, taken, matches
        self._steps = steps
        self._order = [(pool, device) for pool in pools for device in pool.devices]
        self._pool_of = {device.id: pool for pool, device in self._order}
        self._picks: list[list[Pick]] = []
        self._constraints: list[list[Held]] = []
        self._asked: dict[tuple[int, int, int], _Asked] = {}
        # By the pool's counter set and counter: what the devices picked so far consume.
        self._counted: dict[tuple[str, str, str, str], Quantity] = {}
        # The same of what claims have already, which stays as it is while this searches.
        self._before: dict[tuple[str, str, str, str], Quantity] = {}

    def find(self, wishes: Sequence[Wish]) -> list[list[Pick]] | None:
        """For each claim its devices, or None where the node does not have them. Impossible, Endless."""
        self._wishes = wishes
        self._picks = [[] for _ in wishes]
        self._constraints = [[Held(one) for one in wish.constraints] for wish in wishes]
        for number, wish in enumerate(wishes):
            self._look(number, wish)
        try:
            return self._picks if self._claim(0) else None
        except TooLarge:
            return None

    def _look(self, number: int, wish: Wish) -> None:
        least = 0
        for at, alternatives in enumerate(wish.requests):
            for which, request in enumerate(alternatives):
                self._asked[number, at, which] = self._ask(wish, request)
            least += min((self._asked[number, at, i].count for i in range(len(alternatives))), default=0)
        if least > LARGEST:
            text = f"number of requested devices {least} exceeds the claim limit of {LARGEST}"
            raise Impossible(f"claim {wish.key}: {text}")

    def _ask(self, wish: Wish, request: Request) -> _Asked:
        where = f"claim {wish.key}, request {request.name}"
        found = self._classes.get(request.device_class)
        if found is None:
            missing = f'deviceclass.resource.k8s.io "{request.device_class}" not found'
            raise Impossible(f"{where}: could not retrieve device class {request.device_class}: {missing}")
        asked = _Asked(request, found, request.count)
        if request.mode == ALL:
            for pool in self._pools:
                state = "being updated" if pool.incomplete else "invalid" if pool.invalid else ""
                if state:
                    named = "/".join(pool.id)
                    raise Impossible(f"{where}: asks for all devices, but resource pool {named} is currently {state}")
            suiting = [device for _, device in self._order if self._suits(wish, asked, device)]
            asked.every = [device for device in suiting if self._amounts(request, device) is not None]
            asked.count = len(asked.every)
        return asked

    # The search: each answers whether all that is left can be had.

    def _claim(self, number: int) -> bool:
        return number == len(self._wishes) or self._request(number, 0)

    def _request(self, number: int, at: int) -> bool:
        wish = self._wishes[number]
        if at == len(wish.requests):
            try:
                return self._claim(number + 1)
            except TooLarge:
                # The next claim's trouble is not this one's.
                return False
        exceeded = True
        for which in range(len(wish.requests[at])):
            try:
                if self._device(number, at, which, 0, 0):
                    return True
                exceeded = False
            except TooLarge:
                if not wish.requests[at][which].parent:
                    raise
        if exceeded and wish.requests[at]:
            raise TooLarge
        return False

    def _device(self, number: int, at: int, which: int, done: int, start: int) -> bool:
        """The device `done` of a request, from the place `start` in the order on: which of equal ones comes first does
        not matter.
        """
        asked = self._asked[number, at, which]
        if asked.request.mode == ALL and not asked.every:
            return False
        if done >= asked.count:
            return self._request(number, at + 1)
        if len(self._picks[number]) + asked.count - done > LARGEST:
            raise TooLarge
        if asked.request.mode == ALL:
            # None may be left out, so there is one way only.
            rest = partial(self._device, number, at, which, done + 1, 0)
            return self._with(number, asked, asked.every[done], rest)
        for place in range(start, len(self._order)):
            rest = partial(self._device, number, at, which, done + 1, place + 1)
            if self._with(number, asked, self._order[place][1], rest):
                return True
        return False

    def _with(self, number: int, asked: _Asked, device: Device, rest: Callable[[], bool]) -> bool:
        """Whether the rest can be had with this device; it is picked then, and free as before otherwise."""
        request, picks = asked.request, self._picks[number]
        self._spend(1)
        if self._is_in_use(number, request, device) or not self._suits(self._wishes[number], asked, device):
            return False
        amounts = self._amounts(request, device)
        if amounts is None or not request.tolerates(device.taints) or not self._counts(device):
            return False
        held = [one for one in self._constraints[number] if one.concerns(request)]
        for at, one in enumerate(held):
            if not one.add(device):
                for other in held[:at]:
                    other.drop()
                if request.mode == ALL:
                    named = "/".join(device.id)
                    text = f"cannot add device {named} because a claim constraint would not be satisfied"
                    raise Impossible(f"claim {self._wishes[number].key}, request {request.name}: {text}")
                return False
        counts = bool(device.consumes) and not (device.shared and self._is_shared_already(device.id))
        picks.append(Pick(request, device, amounts if device.shared else {}))
        if counts:
            self._consume(device, 1)
        found = False
        try:
            found = rest()
        finally:
            if not found:
                picks.pop()
                if counts:
                    self._consume(device, -1)
                for one in held:
                    one.drop()
        return found

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise Endless

    # What a device is to a request.

    def _is_in_use(self, number: int, request: Request, device: Device) -> bool:
        if request.admin:
            # It may be in use; only twice in one claim it is of no use.
            return not device.shared and any(pick.device.id == device.id for pick in self._picks[number])
        # One that is shared no longer is nobody's before all have given their parts back.
        if self._taken.has(device.id) if device.shared else self._taken.touches(device.id):
            return True
        return not device.shared and any(pick.device.id == device.id for picks in self._picks for pick in picks)

    def _suits(self, wish: Wish, asked: _Asked, device: Device) -> bool:
        for whose, expressions in (
            (f"class {asked.device_class['metadata']['name']}", selectors(asked.device_class["spec"])),
            (f"claim {wish.key}", asked.request.selectors),
        ):
            for at, expression in enumerate(expressions):
                try:
                    if not self._matches(expression, device, self._spend):
                        return False
                except ValueError as error:
                    raise Impossible(f"{whose}: selector #{at}: {error}") from error
        return True

    def _amounts(self, request: Request, device: Device) -> dict[str, Quantity] | None:
        """What the request takes of the device's capacities; None where there is too little left."""
        amounts = capacity.consumed(request.capacity, device.capacity)
        if amounts is None:
            return None
        picked = [pick.amounts for picks in self._picks for pick in picks if pick.device.id == device.id]
        for name, amount in amounts.items():
            before = sum((more[name] for more in picked if name in more), self._taken.amount(device.id, name))
            if before + amount > device.capacity[name].value:
                return None
        return amounts

    def _is_shared_already(self, which: DeviceId) -> bool:
        """Whether somebody has a part of it, so that its counters are consumed."""
        return self._taken.touches(which) or any(p.device.id == which for picks in self._picks for p in picks)

    # Counters.

    def _counts(self, device: Device) -> bool:
        """Whether its pool's counters suffice for the device."""
        if not device.consumes or (device.shared and self._is_shared_already(device.id)):
            return True
        pool = self._pool_of[device.id]
        for called, amounts in device.consumes.items():
            for counter, amount in amounts.items():
                place = (*pool.id, called, counter)
                if place not in self._before:
                    self._before[place] = self._consumed(pool, called, counter)
                used = self._counted.get(place, NOTHING) + self._before[place]
                if used + amount > pool.counters[called][counter]:
                    return False
        return True

    def _consumed(self, pool: Pool, called: str, counter: str) -> Quantity:
        """What devices consume that claims have already."""
        consuming = (d for d in (*pool.devices, *pool.others) if self._taken.touches(d.id))
        return sum((d.consumes.get(called, {}).get(counter, NOTHING) for d in consuming), NOTHING)

    def _consume(self, device: Device, sign: int) -> None:
        for called, amounts in device.consumes.items():
            for counter, amount in amounts.items():
                place = (*self._pool_of[device.id].id, called, counter)
                self._counted[place] = self._counted.get(place, NOTHING) + amount * sign
