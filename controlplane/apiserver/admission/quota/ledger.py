"""How much of each quota is used: by what is stored, and by what is on its way there.

A write reserves what it adds before it is stored. When the cache takes it in, it is counted instead, in the same step:
so nothing is ever counted twice or not at all, and as many writes pass as there is room for, whatever their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

from apimachinery.kinds import DEVICE_CLASS, POD, RESOURCE_CLAIM, RESOURCE_QUOTA, Kind
from apimachinery.objects import Obj
from apimachinery.pods.totals import Amounts, add, parsed
from controlplane.apiserver.admission.quota import coverage, usage
from controlplane.apiserver.admission.quota.account import Account
from controlplane.apiserver.admission.quota.devices import Devices, asker, is_made_for, resource_of
from controlplane.apiserver.admission.quota.fences import Fences
from controlplane.apiserver.admission.quota.rooms import Check, Room, SharedRoom
from controlplane.apiserver.catalog.strategy import Reservation
from controlplane.apiserver.registry import Registry

# How many objects are counted before others get their turn.
_SLICE = 200


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
            if kind is RESOURCE_CLAIM and old is not None:
                account.forget_asker(old)
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
            return Room(self, uid, self._tickets, wanted)
        return SharedRoom(self, uid, self._tickets, wanted, self._fences.of(wanted[0][0].namespace), check)
