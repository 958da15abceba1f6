"""Signs cluster-info with the bootstrap tokens there are, and removes those whose time is over."""

from __future__ import annotations

import contextlib

from apimachinery import bootstrap_tokens, errors
from apimachinery.kinds import CONFIG_MAP, SECRET
from apimachinery.objects import Obj, key, name, namespace, uid
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced
from controlplane.controllers.tokens import plan

INFO_KEY = f"{bootstrap_tokens.INFO_NAMESPACE}/{bootstrap_tokens.INFO}"


def is_bootstrap_token(secret: Obj) -> bool:
    kind = secret.get("type") == bootstrap_tokens.TYPE
    return kind and namespace(secret) == bootstrap_tokens.SECRETS_NAMESPACE


class BootstrapSigner:
    """The loop over the one object that is signed."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._secrets = context.informers.of(SECRET)
        self._infos = context.informers.of(CONFIG_MAP)
        self._queue: WorkQueue[str] = WorkQueue("bootstrap signer", backoff_max=60.0)
        self._secrets.add_handler(self._on_secret)
        self._infos.add_handler(self._on_info)

    async def run(self) -> None:
        await synced(self._secrets, self._infos)
        await self._queue.run_workers(1, self._sync)

    def _on_secret(self, old: Obj | None, new: Obj | None) -> None:
        if is_bootstrap_token(new or old or {}):
            self._queue.add(INFO_KEY)

    def _on_info(self, old: Obj | None, new: Obj | None) -> None:
        if key(new or old or {}) == INFO_KEY:
            self._queue.add(INFO_KEY)

    async def _sync(self, item: str) -> None:
        info = self._infos.get(item)
        if info is None:
            return
        tokens = plan.signing(filter(is_bootstrap_token, self._secrets.items()), now())
        wanted = plan.signed(info, tokens)
        if wanted is not None:
            with contextlib.suppress(errors.NotFound):
                await self._client.update(CONFIG_MAP, wanted)


class TokenCleaner:
    """The loop over bootstrap tokens."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._secrets = context.informers.of(SECRET)
        self._queue: WorkQueue[str] = WorkQueue("token cleaner", backoff_max=60.0)
        self._secrets.add_handler(self._on_secret)

    async def run(self) -> None:
        await synced(self._secrets)
        await self._queue.run_workers(1, self._sync)

    def _on_secret(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and is_bootstrap_token(new):
            self._queue.add(key(new))

    async def _sync(self, item: str) -> None:
        secret = self._secrets.get(item)
        left = plan.ends_in(secret, now()) if secret is not None else None
        if secret is None or left is None:
            return
        if left > 0:
            self._queue.add_after(item, left)
            return
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await self._client.delete(SECRET, name(secret), namespace(secret), uid=uid(secret))
