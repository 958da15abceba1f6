"""Writes down the day on which a token that lies in a Secret was used last (KEP-2799), as a label of the Secret."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta

from apimachinery import errors
from apimachinery.kinds import SECRET
from apimachinery.objects import Obj, labels, name, namespace, uid
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.authn.legacy_token import LAST_USED
from controlplane.apiserver.maintained.keeping import SELF
from controlplane.apiserver.registry import Registry


def day(moment: datetime) -> str:
    """As the labels have it."""
    return moment.strftime("%Y-%m-%d")


def is_noted(secret: Obj, moment: datetime) -> bool:
    """Whether the Secret says so already; the clock of a server beside may be a day ahead."""
    return labels(secret).get(LAST_USED) in (day(moment), day(moment + timedelta(days=1)))


class TokenUse:
    """A request does not wait for it: what is lost by a kill is noted by the next request."""

    def __init__(self, registry: Registry, clock: Callable[[], datetime] = now) -> None:
        self._registry = registry
        self._clock = clock
        self._queue: WorkQueue[tuple[str, str, str]] = WorkQueue("token use", backoff_max=60.0)

    def note(self, secret: Obj) -> None:
        """A token of the Secret was used."""
        if not is_noted(secret, self._clock()):
            self._queue.add((namespace(secret), name(secret), uid(secret)))

    async def run(self) -> None:
        """For ever."""
        await self._queue.run_workers(1, self._write)

    async def _write(self, item: tuple[str, str, str]) -> None:
        space, called, own = item
        moment = self._clock()

        def noted(stored: Obj) -> Obj:
            if uid(stored) != own or is_noted(stored, moment):
                return stored
            metadata = {**stored["metadata"], "labels": {**labels(stored), LAST_USED: day(moment)}}
            return {**stored, "metadata": metadata}

        with contextlib.suppress(errors.NotFound):
            await self._registry.mutate(SECRET, space, called, noted, user=SELF)
