"""Leader election by Lease: of several schedulers or controller processes one works, the others wait.

The same record and timing as client-go's leaderelection: a lease not renewed for its duration may be taken.
Ages are measured by this process's own clock from when it saw a record change, never by comparing clocks of
two machines.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import LEASE
from apimachinery.objects import Obj, copy
from apimachinery.timestamps import format_micro, now

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.02


@dataclass(frozen=True)
class ElectionSettings:
    """Times are seconds; the defaults are upstream's."""

    leader_elect: bool = True
    """Off: work at once, asking nobody."""
    namespace: str = "kube-system"
    """Where the Lease lies."""
    identity: str = ""
    """The holder's name; empty: one that no other process has. A fixed one lets a killed process take over
    from itself at once; it must then run only once."""
    lease_duration: float = 15.0
    """A lease not renewed for so long may be taken by another."""
    renew_deadline: float = 10.0
    """A leader that could not renew for so long stops."""
    retry_period: float = 2.0
    """Pause between two attempts to take or to renew."""


class Move(enum.Enum):
    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


class LeadershipLost(Exception):
    """The lease could not be renewed in time; someone else may lead by now."""


def judge(lease: Obj | None, identity: str, age: float) -> Move:
    """What to do about the lease, `age` seconds after it was last seen to change."""
    if lease is None:
        return Move.CREATE
    spec = lease.get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    if holder == identity:
        return Move.RENEW
    if not holder or age >= float(spec.get("leaseDurationSeconds") or 0):
        return Move.TAKE
    return Move.WAIT


def renewed(lease: Obj, identity: str, duration: float, moment: datetime) -> Obj:
    """The lease as held by `identity` from now on; a change of holder counts as a transition."""
    result = copy(lease)
    spec = result.setdefault("spec", {})
    if spec.get("holderIdentity") != identity:
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (1 if "renewTime" in spec else 0)
        spec["acquireTime"] = format_micro(moment)
        spec["holderIdentity"] = identity
    spec["leaseDurationSeconds"] = int(duration)
    spec["renewTime"] = format_micro(moment)
    return result


class Election:
    """One candidate for the lease `name`."""

    def __init__(self, client: Client, name: str, settings: ElectionSettings) -> None:
        self._client = client
        self._name = name
        self._settings = settings
        self.identity = settings.identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._seen: Obj | None = None
        self._seen_at = 0.0
        self.leading = False
        self._away = False

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for leadership, then run `work` while renewing. Raises LeadershipLost, or what `work`
        raises.
        """
        if not self._settings.leader_elect:
            self.leading = True
            await work()
            return
        while not await self._try():
            await self._pause()
        self.leading = True
        log.info("leading as %s", self.identity)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            done, _ = await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            working.cancel()
            renewing.cancel()

    async def release(self) -> None:
        """Give the lease back, so that the next candidate need not wait for it to expire."""
        if not self.leading or not self._settings.leader_elect:
            return
        self.leading = False
        try:
            # Read again: a renewal that the stop cut short may have been written all the same.
            held = await self._client.get(LEASE, self._name, self._settings.namespace)
            if (held.get("spec") or {}).get("holderIdentity") == self.identity:
                lease = renewed(held, self.identity, 1, now())
                lease["spec"]["holderIdentity"] = ""
                await self._client.update(LEASE, lease)
        except (errors.ApiError, errors.Unreachable) as error:
            log.warning("lease %s not released: %s", self._name, error)

    async def _renew(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(self._settings.retry_period)
            if await self._try():
                last = time.monotonic()
            elif time.monotonic() - last > self._settings.renew_deadline:
                self.leading = False
                raise LeadershipLost(f"lease {self._name} not renewed for {self._settings.renew_deadline:g} s")

    async def _pause(self) -> None:
        """Until the next try: a server that is only starting is asked as soon as it takes connections."""
        if self._away:
            await self._client.reachable()
            await asyncio.sleep(_SETTLE_SECONDS)
        else:
            await asyncio.sleep(self._settings.retry_period)

    async def _try(self) -> bool:
        self._away = False
        try:
            return await asyncio.wait_for(self._attempt(), self._settings.renew_deadline)
        except (errors.ApiError, errors.Unreachable, asyncio.TimeoutError) as error:
            self._away = isinstance(error, errors.Unreachable)
            log.debug("lease %s: %s", self._name, error)
            return False

    async def _attempt(self) -> bool:
        try:
            self._see(await self._client.get(LEASE, self._name, self._settings.namespace))
        except errors.NotFound:
            self._seen = None
        move = judge(self._seen, self.identity, time.monotonic() - self._seen_at)
        if move is Move.WAIT:
            return False
        duration = self._settings.lease_duration
        if self._seen is None:
            metadata = {"name": self._name, "namespace": self._settings.namespace}
            empty: Obj = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata}
            fresh = renewed(empty, self.identity, duration, now())
            self._see(await self._client.create(LEASE, fresh))
        else:
            self._see(await self._client.update(LEASE, renewed(self._seen, self.identity, duration, now())))
        return True

    def _see(self, lease: Obj) -> None:
        if self._seen is None or self._seen.get("spec") != lease.get("spec"):
            self._seen_at = time.monotonic()
        self._seen = lease
