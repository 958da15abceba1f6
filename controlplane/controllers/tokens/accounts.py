"""Fills Secrets of type kubernetes.io/service-account-token, and removes them with their account.

It acts as the process itself, as upstream's does: it comes before any loop has an account.
"""

from __future__ import annotations

import asyncio
import contextlib

from apimachinery import errors
from apimachinery.kinds import SECRET, SERVICE_ACCOUNT
from apimachinery.objects import Obj, key, name, namespace, split_key, uid
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.authn import keys, service_account
from controlplane.controllers.context import Context, synced
from controlplane.controllers.tokens import plan

BY_ACCOUNT = "token-account"


class AccountTokenController:
    """The loop; it rests where no key was given."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._key_file = settings.service_account_key_file
        path = settings.root_ca_file
        self._certificate = path.read_text(encoding="utf-8") if path is not None else ""
        self._accounts = context.informers.of(SERVICE_ACCOUNT)
        self._secrets = context.informers.of(SECRET)
        self._queue: WorkQueue[str] = WorkQueue("account tokens", backoff_max=60.0)
        self._secrets.add_index(BY_ACCOUNT, lambda secret: tuple(filter(None, (plan.account_key(secret),))))
        self._secrets.add_handler(self._on_secret)
        self._accounts.add_handler(self._on_account)

    async def run(self) -> None:
        if self._key_file is None:
            return
        await synced(self._accounts, self._secrets)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_secret(self, old: Obj | None, new: Obj | None) -> None:
        if plan.account_key(new or old or {}):
            self._queue.add(key(new or old or {}))

    def _on_account(self, old: Obj | None, new: Obj | None) -> None:
        for secret in self._secrets.by_index(BY_ACCOUNT, key(new or old or {})):
            self._queue.add(key(secret))

    async def _sync(self, item: str) -> None:
        secret = self._secrets.get(item)
        if secret is None:
            await self._forget(item)
            return
        account = await self._account(secret)
        if account is None or not plan.is_for(secret, account):
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                await self._context.client.delete(SECRET, name(secret), namespace(secret), uid=uid(secret))
            return
        todo = plan.fill(secret, self._certificate)
        if todo is None:
            return
        token = await self._signed(secret, account) if todo.token else ""
        with contextlib.suppress(errors.NotFound):
            await self._context.client.update(SECRET, plan.filled(secret, account, todo, token))

    async def _account(self, secret: Obj) -> Obj | None:
        """That there is none is asked of the API server itself: the cache may not know it yet."""
        wanted = plan.account_key(secret)
        found = self._accounts.get(wanted)
        if found is not None and plan.is_for(secret, found):
            return found
        space, which = split_key(wanted)
        with contextlib.suppress(errors.NotFound):
            return await self._context.client.get(SERVICE_ACCOUNT, which, space)
        return None

    async def _signed(self, secret: Obj, account: Obj) -> str:
        assert self._key_file is not None
        pem = await asyncio.to_thread(self._key_file.read_bytes)
        return service_account.sign(keys.load_signing_key(pem), plan.claims(secret, account))

    async def _forget(self, item: str) -> None:
        """A Secret is gone: accounts that list it do so no more."""
        space, which = split_key(item)
        for account in self._accounts.items():
            if namespace(account) == space and (left := plan.without_reference(account, which)) is not None:
                with contextlib.suppress(errors.NotFound):
                    await self._context.client.update(SERVICE_ACCOUNT, left)
