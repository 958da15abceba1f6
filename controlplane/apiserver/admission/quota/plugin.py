"""ResourceQuota: refuses what exceeds a namespace's quotas, and writes down how much of them is used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from apimachinery import errors
from apimachinery.kinds import EVENT, PERSISTENT_VOLUME_CLAIM, POD, RESOURCE_QUOTA, SERVICE, Kind
from apimachinery.objects import Obj
from apimachinery.pods.totals import Amounts
from apimachinery.quantity import Quantity
from apimachinery.timestamps import now
from controlplane.apiserver.admission.plugin import Needs, Plugin, Wait
from controlplane.apiserver.admission.quota import coverage, usage
from controlplane.apiserver.admission.quota.account import Account
from controlplane.apiserver.admission.quota.ledger import Ledger
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.maintained.keeping import SELF

log = logging.getLogger(__name__)

# Kinds that a change may make count more, besides those of which only the number counts.
_GROWING = (POD, SERVICE, PERSISTENT_VOLUME_CLAIM)
# How long a quota's status may lag behind what was deleted or changed by others, in seconds.
_LAG = 0.5
_RETRY = 1.0


class ResourceQuota(Plugin):
    name = "ResourceQuota"

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._statuses = Statuses(needs)
        keeps = needs.settings.keep_quota_statuses
        self._ledger = Ledger(needs.registry, now, self._statuses.note if keeps else _left_to_others)
        if keeps:
            needs.lifecycle.spawn("quota statuses", self._statuses.run(self._ledger))

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        if not kind.namespaced or kind.storage == EVENT.storage or "list" not in kind.verbs:
            return False
        if kind is POD and (subresource, operation) == ("resize", "UPDATE"):
            return True
        return not subresource and (operation == "CREATE" or (operation == "UPDATE" and kind in _GROWING))

    def validate(self, admission: Admission) -> Wait:
        """Raises Forbidden."""
        accounts = self._ledger.accounts(admission.namespace)
        if accounts and admission.kind is POD and admission.operation == "UPDATE" and not _moves(admission):
            return None
        if uncounted := [account for account in accounts if not account.ready.is_set()]:
            return self._later(admission, uncounted)
        return self._decided(admission, accounts)

    async def _later(self, admission: Admission, uncounted: list[Account]) -> None:
        """Decide when it is known what is there."""
        for account in uncounted:
            await account.ready.wait()
        wait = self._decided(admission, self._ledger.accounts(admission.namespace))
        if wait is not None:
            await wait

    def _decided(self, admission: Admission, accounts: list[Account]) -> Wait:
        wanted = self._wanted(admission, accounts) if accounts else []
        if not wanted or admission.dry_run:
            return None
        assert admission.obj is not None
        room = self._ledger.reserve(
            admission.obj["metadata"]["uid"], wanted, partial(self._check, admission, Account.stored)
        )
        admission.reservations.append(room)
        return self._statuses.written([account for account, _ in wanted])

    def _wanted(self, admission: Admission, accounts: list[Account]) -> list[tuple[Account, Amounts]]:
        """What the write adds to which quota. Raises Forbidden."""
        kind, obj, old = admission.kind, admission.obj, admission.old
        assert obj is not None
        covering: list[tuple[Account, set[str]]] = []
        for account in accounts:
            limited = account.limits(kind)
            if limited and coverage.covers(account.scopes, kind, obj):
                if why := coverage.unsaid(limited, kind, obj):
                    raise self._refusal(admission, f"failed quota: {account.name}: {why}")
                self._ledger.follow(kind)
                covering.append((account, limited))
        if not covering:
            return []
        moment = now()
        new_usage = usage.of(kind, obj, moment, self._ledger.devices)
        old_usage = usage.of(kind, old, moment, self._ledger.devices) if old is not None else {}
        found = []
        for account, limited in covering:
            before = old_usage if old is not None and coverage.covers(account.scopes, kind, old) else {}
            added = {name: _more(new_usage[name], before.get(name)) for name in limited if name in new_usage}
            added = {name: amount for name, amount in added.items() if amount.nanos > 0}
            if added:
                self._check(admission, Account.used, account, added)
                found.append((account, added))
        return found

    def _check(
        self, admission: Admission, used: Callable[[Account], Amounts], account: Account, added: Amounts
    ) -> None:
        if not _exceeded(account.hard, used(account), added):
            return
        self._ledger.look_again(account)
        if exceeded := _exceeded(account.hard, used(account), added):
            told = (
                f"requested: {_listed(added, exceeded)}, used: {_listed(account.shown(), exceeded)}, "
                f"limited: {_listed(account.hard, exceeded)}"
            )
            raise self._refusal(admission, f"exceeded quota: {account.name}, {told}")

    def _refusal(self, admission: Admission, why: str) -> errors.Forbidden:
        return errors.forbidden(admission.kind.plural, admission.name, why, admission.kind.group)


def _left_to_others(account: Account) -> None:
    """A status that nobody waits for is written by somebody else's loop."""


def _moves(admission: Admission) -> bool:
    """Whether an update of a pod may make it count elsewhere: only its resources and its deadline do."""
    if admission.subresource:
        return True
    deadlines = [(obj or {})["spec"].get("activeDeadlineSeconds") is None for obj in (admission.obj, admission.old)]
    return deadlines[0] != deadlines[1]


def _more(new: Quantity, old: Quantity | None) -> Quantity:
    return new if old is None else new - old


def _exceeded(hard: Amounts, used: Amounts, added: Amounts) -> list[str]:
    """Of what a quota limits now; it may have been changed since it was asked."""
    return sorted(name for name, amount in added.items() if name in hard and used[name] + amount > hard[name])


def _listed(amounts: Mapping[str, Quantity], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)


class Statuses:
    """Writes the statuses of quotas. One write serves all that wait for it."""

    def __init__(self, needs: Needs) -> None:
        self._registry = needs.registry
        self._writing: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._stale: set[tuple[str, str]] = set()
        self._woken = asyncio.Event()

    def note(self, account: Account) -> None:
        """What is stored may be wrong: it is written in a moment, if nobody does so before."""
        if account.written >= account.wrong or not account.ready.is_set():
            return
        self._stale.add((account.namespace, account.name))
        self._woken.set()

    async def written(self, accounts: list[Account]) -> None:
        """Wait until what is stored says at least what is used now. Raises ApiError when it cannot be stored."""
        marks = [(account, account.wrong) for account in accounts]
        for account, mark in marks:
            while account.written < mark and not account.closed:
                await self._write(account)

    async def _write(self, account: Account) -> None:
        key = (account.namespace, account.name)
        task = self._writing.get(key)
        # One that is through stays until the loop's next turn, and to wait for it would let nobody have a turn.
        if task is None or task.done():
            task = self._writing[key] = asyncio.ensure_future(self._store(account))
            task.add_done_callback(partial(self._through, key))
        # Who is cancelled does not take the others' write along.
        await asyncio.shield(task)

    def _through(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._writing.get(key) is task:
            del self._writing[key]

    async def _store(self, account: Account) -> None:
        mark = account.wrong

        def change(quota: Obj) -> Obj:
            nonlocal mark
            mark = account.wrong
            quota["status"] = status_of(account, quota.get("status") or {})
            return quota

        try:
            await self._registry.mutate(
                RESOURCE_QUOTA, account.namespace, account.name, change, subresource="status", user=SELF, admitted=True
            )
        except errors.NotFound:
            log.debug("quota %s/%s went while its status was written", account.namespace, account.name)
        account.written = max(account.written, mark)

    async def run(self, ledger: Ledger) -> None:
        """Write what nobody waits for: after deletions, changes of quotas and other people's writes of a status."""
        while True:
            await self._woken.wait()
            await asyncio.sleep(_LAG)
            self._woken.clear()
            stale, self._stale = self._stale, set()
            for namespace, name in stale:
                account = ledger.find(namespace, name)
                if account is None or account.written >= account.wrong or self._says(account):
                    continue
                try:
                    await self._write(account)
                except errors.ApiError as error:
                    log.warning("status of quota %s/%s is not written: %s", namespace, name, error.message)
                    await asyncio.sleep(_RETRY)
                    self.note(account)

    def _says(self, account: Account) -> bool:
        """Whether the stored status is right already."""
        quota = self._registry.find(RESOURCE_QUOTA, account.namespace, account.name)
        if quota is None:
            return True
        status = quota.get("status") or {}
        right = status == status_of(account, status)
        if right:
            account.written = account.wrong
        return right


def status_of(account: Account, standing: Obj) -> Obj:
    """The status of a quota; amounts that are right already keep their writing."""
    found: Obj = {}
    for key, amounts in (("hard", account.hard), ("used", account.shown())):
        if amounts:
            found[key] = {name: str(amount) for name, amount in sorted(amounts.items())}
    return {**standing, **found} if found else standing
