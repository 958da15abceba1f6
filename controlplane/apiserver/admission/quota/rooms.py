"""What one write has reserved in quotas, until it is stored or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from apimachinery import errors
from apimachinery.pods.totals import Amounts
from controlplane.apiserver.admission.quota.account import Account
from controlplane.apiserver.admission.quota.fences import Fence
from controlplane.apiserver.catalog.strategy import Reservation
from controlplane.store import Op

# Raises Forbidden where an account has no room for so much beside what is stored.
Check = Callable[[Account, Amounts], None]

# Seconds that a write may wait for its turn. While the store is away each takes ten of them: those behind would be
# written long after their clients were told that they were late.
_PATIENCE = 50.0


class Accounts(Protocol):
    """Where the accounts are kept that there are now."""

    def find(self, namespace: str, name: str) -> Account | None: ...

    def changed(self, account: Account) -> None: ...


class Room(Reservation):
    """Kept, it is counted already: the cache had the object before the write was answered."""

    def __init__(self, accounts: Accounts, uid: str, ticket: int, wanted: list[tuple[Account, Amounts]]) -> None:
        self._accounts, self._uid, self._ticket, self._wanted = accounts, uid, ticket, wanted

    def release(self) -> None:
        for account, _ in self._standing():
            account.release(self._uid, self._ticket)
            self._accounts.changed(account)

    def _standing(self) -> list[tuple[Account, Amounts]]:
        """What is still reserved, in the accounts that there are now: a quota that was changed has another one."""
        found = ((self._accounts.find(account.namespace, account.name), amounts) for account, amounts in self._wanted)
        return [(account, amounts) for account, amounts in found if account and self._holds(account)]

    def _holds(self, account: Account) -> bool:
        return self._ticket in account.reserved.get(self._uid, {})


class SharedRoom(Room):
    """Room in a store that other servers write to: there is some only while nobody else has moved the fence."""

    def __init__(
        self,
        accounts: Accounts,
        uid: str,
        ticket: int,
        wanted: list[tuple[Account, Amounts]],
        fence: Fence,
        check: Check,
    ) -> None:
        super().__init__(accounts, uid, ticket, wanted)
        self._fence, self._check = fence, check

    @property
    def writes(self) -> list[Op]:  # type: ignore[override]
        return [self._fence.move()]

    async def begin(self) -> None:
        now = asyncio.get_running_loop().time
        asked = now()
        await self._fence.turn.acquire()
        try:
            if now() - asked > _PATIENCE:
                told = "writes that count against the quotas of the namespace take too long; nothing was written"
                raise errors.ServiceUnavailable(told, retry_after=1)
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
