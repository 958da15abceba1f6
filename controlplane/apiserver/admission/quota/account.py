"""How much of one quota is used, by what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from apimachinery.kinds import POD, RESOURCE_CLAIM, Kind
from apimachinery.objects import Obj
from apimachinery.pods.totals import Amounts, add
from apimachinery.quantity import Quantity
from controlplane.apiserver.admission.quota import coverage, usage
from controlplane.apiserver.admission.quota.devices import NOTHING_KNOWN, Devices, asker

_ZERO = Quantity(0)


@dataclass
class Account:
    """One quota. counted: (kind's resource, name) -> what that object counts; reserved: uid -> by writes under way.

    leaving: what of it counts less once its time is over, without anything happening to it. made: the names of claims
    that count by what a pod, by its name, counts. wrong grows whenever the stored status may not say what is used;
    written: what wrong was when it last did.
    """

    namespace: str
    name: str
    hard: Amounts
    scopes: tuple[coverage.Selector, ...]
    devices: Devices = NOTHING_KNOWN
    counted: dict[tuple[str, str], Amounts] = field(default_factory=dict)
    reserved: dict[str, dict[int, Amounts]] = field(default_factory=dict)
    leaving: set[tuple[str, str]] = field(default_factory=set)
    made: dict[str, set[str]] = field(default_factory=dict)
    total: Amounts = field(default_factory=dict)
    wrong: int = 0
    written: int = 0
    # The quota is gone, or another one: nobody needs to wait for this one's status.
    closed: bool = False
    # Set once all that is stored is counted; before that nothing can be decided.
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def limits(self, kind: Kind) -> set[str]:
        return usage.names(kind, self.hard, self.devices)

    def used(self) -> Amounts:
        """Of each limited resource."""
        return {name: self.total.get(name, _ZERO) for name in self.hard}

    def stored(self) -> Amounts:
        """Used by what is stored alone."""
        used = self.used()
        for tickets in self.reserved.values():
            for amounts in tickets.values():
                used |= {name: used[name] - amount for name, amount in amounts.items() if name in used}
        return used

    def shown(self) -> Amounts:
        """As it is told: what is under way and will find no room, for other servers were faster, takes none."""
        used = self.used()
        if all(amount <= self.hard[name] for name, amount in used.items()):
            return used
        stored = self.stored()
        return {name: min(amount, max(self.hard[name], stored[name])) for name, amount in used.items()}

    def count(self, kind: Kind, name: str, obj: Obj | None, now: datetime) -> None:
        """An object is stored like this now; None: it is gone."""
        key = (kind.resource, name)
        before, after = self.counted.pop(key, None), self._amounts(kind, obj, now)
        self.leaving.discard(key)
        if after is not None:
            self.counted[key] = after
            if kind is POD and obj is not None and "deletionTimestamp" in obj["metadata"]:
                self.leaving.add(key)
            if kind is RESOURCE_CLAIM and (pod := asker(obj or {"metadata": {}})):
                self.made.setdefault(pod["name"], set()).add(name)
        if before != after:
            self._take(before or {})
            add(self.total, after or {})
            self.wrong += 1

    def forget_asker(self, claim: Obj) -> None:
        """A claim is gone, or another one by now: it does not count any more by what its pod counts."""
        if pod := asker(claim):
            claims = self.made.get(pod["name"], set())
            claims.discard(claim["metadata"]["name"])
            if not claims:
                self.made.pop(pod["name"], None)

    def _amounts(self, kind: Kind, obj: Obj | None, now: datetime) -> Amounts | None:
        limited = self.limits(kind) if obj is not None else ()
        if obj is None or not limited or not coverage.covers(self.scopes, kind, obj):
            return None
        of = usage.of(kind, obj, now, self.devices)
        return {name: of[name] for name in limited if name in of}

    def reserve(self, uid: str, ticket: int, amounts: Amounts) -> None:
        self.reserved.setdefault(uid, {})[ticket] = amounts
        add(self.total, amounts)
        self.wrong += 1

    def release(self, uid: str, ticket: int | None = None) -> None:
        """Forget what one write, or all writes, of an object have reserved."""
        tickets = self.reserved.get(uid, {})
        for one in [ticket] if ticket is not None else list(tickets):
            amounts = tickets.pop(one, None)
            if amounts is not None:
                self._take(amounts)
                self.wrong += 1
        if not tickets:
            self.reserved.pop(uid, None)

    def _take(self, amounts: Mapping[str, Quantity]) -> None:
        for name, amount in amounts.items():
            self.total[name] = self.total[name] - amount
