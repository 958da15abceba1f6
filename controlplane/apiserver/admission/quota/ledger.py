"""How much of each quota is used: by what is stored, and by what is on its way there.

A write reserves what it adds before it is stored. When the cache takes it in, it is counted instead, in the same step:
so nothing is ever counted twice or not at all, and as many writes pass as there is room for, whatever their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from apimachinery.kinds import DEVICE_CLASS, POD, RESOURCE_CLAIM, RESOURCE_QUOTA, Kind
from apimachinery.objects import Obj
from apimachinery.pods.totals import Amounts, add, parsed
from apimachinery.quantity import Quantity
from controlplane.apiserver.admission.quota import coverage, usage
from controlplane.apiserver.admission.quota.devices import NOTHING_KNOWN, Devices, asker, is_made_for, resource_of
from controlplane.apiserver.admission.quota.fences import Fence, Fences
from controlplane.apiserver.catalog.strategy import Reservation
from controlplane.apiserver.registry import Registry
from controlplane.store import Op

_ZERO = Quantity(0)
# How many objects are counted before others get their turn.
_SLICE = 200


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


# Raises Forbidden where an account has no room for so much beside what is stored.
Check = Callable[[Account, Amounts], None]


class Ledger:
    """The accounts of all quotas, following the registry. Kinds are followed once a quota limits them."""

    def __init__(self, registry: Registry, clock: Callable[[], datetime], on_change: Callable[[Account], None]) -> None:
        """on_change is called with an account whose stored status may be wrong now."""
        self._registry = registry
        self._clock = clock
        self._on_change = on_change
        self._accounts: dict[str, dict[str, Account]] = {}
        self._followed: dict[str, Kind] = {}
        self._fences = Fences() if registry.shared else None
        self._tickets = 0
        self._counting: set[asyncio.Task[None]] = set()
        self._classes: dict[str, str] = {}
        self.devices = Devices(self._classes, self._pod_of)
        registry.subscribe(DEVICE_CLASS, self._class_changed)
        registry.subscribe(RESOURCE_QUOTA, self._quota_changed)

    def accounts(self, namespace: str) -> list[Account]:
        """The quotas of a namespace, by name."""
        held = self._accounts.get(namespace)
        return [held[name] for name in sorted(held)] if held else []

    def find(self, namespace: str, name: str) -> Account | None:
        return self._accounts.get(namespace, {}).get(name)

    def _quota_changed(self, old: Obj | None, new: Obj | None) -> None:
        metadata = (new or old or {})["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if new is None:
            held = self._accounts.get(namespace, {})
            if (gone := held.pop(name, None)) is not None:
                gone.closed = True
            if not held:
                self._accounts.pop(namespace, None)
                if self._fences is not None:
                    self._fences.forget(namespace)
            return
        account = self.find(namespace, name)
        hard, scopes = parsed(new["spec"].get("hard")), coverage.selectors(new["spec"])
        if account is None or (account.hard, account.scopes) != (hard, scopes):
            reserved = account.reserved if account is not None else {}
            if account is not None:
                account.closed = True
            account = Account(namespace, name, hard, scopes, self.devices, reserved=reserved)
            self._accounts.setdefault(namespace, {})[name] = account
            for tickets in reserved.values():
                for amounts in tickets.values():
                    add(account.total, amounts)
            self._begin(account)
        account.wrong += 1
        self._on_change(account)

    def _begin(self, account: Account) -> None:
        """Count what is stored, for a new quota: at once, or a little at a time where there is much."""
        found: list[tuple[Kind, str]] = []
        for kind in self._registry.catalog.kinds():
            if kind.namespaced and "list" in kind.verbs and account.limits(kind):
                self.follow(kind)
                stored = self._followed[kind.resource]
                found += [(stored, entry.name) for entry in self._registry.collection(stored).scan(account.namespace)]
        if len(found) <= _SLICE:
            self._count(account, found)
            account.ready.set()
            return
        task = asyncio.ensure_future(self._count_slowly(account, found))
        self._counting.add(task)
        task.add_done_callback(self._counting.discard)

    async def _count_slowly(self, account: Account, found: list[tuple[Kind, str]]) -> None:
        """What changes meanwhile is counted as it changes, and looked at here as it is then."""
        try:
            for start in range(0, len(found), _SLICE):
                self._count(account, found[start : start + _SLICE])
                await asyncio.sleep(0)
        finally:
            account.ready.set()
            self._on_change(account)

    def _count(self, account: Account, keys: list[tuple[Kind, str]]) -> None:
        now = self._clock()
        for kind, name in keys:
            account.count(kind, name, self._registry.find(kind, account.namespace, name), now)

    def look_again(self, account: Account) -> None:
        """Count the pods anew that were on their way out: their time may be over."""
        self._count(account, [(self._followed[resource], name) for resource, name in account.leaving])

    def follow(self, kind: Kind) -> None:
        """Count what becomes of the objects of a kind from now on; what is there is counted with each quota."""
        if kind.resource not in self._followed:
            stored = self._registry.collection(kind).kind
            self._followed[kind.resource] = stored
            self._registry.subscribe(stored, partial(self._object_changed, stored), replay=False)

    def _object_changed(self, kind: Kind, old: Obj | None, new: Obj | None) -> None:
        metadata = (new or old or {})["metadata"]
        held = self._accounts.get(metadata.get("namespace", ""))
        if not held:
            return
        now = self._clock()
        for account in held.values():
            if account.limits(kind):
                account.count(kind, metadata["name"], new, now)
                account.release(metadata["uid"])
                self._on_change(account)
            if kind is POD and (claims := account.made.pop(metadata["name"], None)):
                self._count(account, [(RESOURCE_CLAIM, name) for name in claims])
                self._on_change(account)

    # --- devices ---

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Claims count against a resource while a class has its name."""
        name, before = (new or old or {})["metadata"]["name"], dict(self._classes)
        self._classes.pop(name, None)
        if new is not None:
            self._classes[name] = resource_of(new)
        if self._classes == before:
            return
        for held in self._accounts.values():
            for account in held.values():
                if usage.asks_devices(account.hard):
                    self.follow(RESOURCE_CLAIM)
                    claims = self._registry.collection(RESOURCE_CLAIM).scan(account.namespace)
                    self._count(account, [(RESOURCE_CLAIM, entry.name) for entry in claims])
                    self._on_change(account)

    def _pod_of(self, claim: Obj) -> Obj | None:
        """The pod for whose devices a claim was made."""
        reference, namespace = asker(claim), claim["metadata"].get("namespace", "")
        pod = self._registry.find(POD, namespace, reference["name"]) if reference else None
        rivals = partial(self._registry.items, RESOURCE_CLAIM, namespace)
        return pod if pod is not None and is_made_for(claim, pod, rivals) else None

    def changed(self, account: Account) -> None:
        self._on_change(account)

    def reserve(self, uid: str, wanted: list[tuple[Account, Amounts]], check: Check) -> Reservation:
        """Take room in several quotas of one namespace for one write."""
        self._tickets += 1
        for account, amounts in wanted:
            account.reserve(uid, self._tickets, amounts)
        if self._fences is None:
            return _Room(self, uid, self._tickets, wanted)
        return _SharedRoom(self, uid, self._tickets, wanted, self._fences.of(wanted[0][0].namespace), check)


class _Room(Reservation):
    """Kept, it is counted already: the cache had the object before the write was answered."""

    def __init__(self, ledger: Ledger, uid: str, ticket: int, wanted: list[tuple[Account, Amounts]]) -> None:
        self._ledger, self._uid, self._ticket, self._wanted = ledger, uid, ticket, wanted

    def release(self) -> None:
        for account, _ in self._standing():
            account.release(self._uid, self._ticket)
            self._ledger.changed(account)

    def _standing(self) -> list[tuple[Account, Amounts]]:
        """What is still reserved, in the accounts that there are now: a quota that was changed has another one."""
        found = ((self._ledger.find(account.namespace, account.name), amounts) for account, amounts in self._wanted)
        return [(account, amounts) for account, amounts in found if account and self._holds(account)]

    def _holds(self, account: Account) -> bool:
        return self._ticket in account.reserved.get(self._uid, {})


class _SharedRoom(_Room):
    """Room in a store that other servers write to: there is some only while nobody else has moved the fence."""

    def __init__(
        self,
        ledger: Ledger,
        uid: str,
        ticket: int,
        wanted: list[tuple[Account, Amounts]],
        fence: Fence,
        check: Check,
    ) -> None:
        super().__init__(ledger, uid, ticket, wanted)
        self._fence, self._check = fence, check

    @property
    def writes(self) -> list[Op]:  # type: ignore[override]
        return [self._fence.move()]

    async def begin(self) -> None:
        await self._fence.turn.acquire()
        try:
            for account, _ in self._standing():
                await account.ready.wait()
            for account, amounts in self._standing():
                self._check(account, amounts)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self._fence.turn.release()

    def keep(self, revision: int) -> None:
        self._fence.at = revision

    def lost(self, key: str, current: int) -> None:
        if key == self._fence.key:
            self._fence.at = current
