"""Leader election by Lease: of several schedulers or controller processes one works, the others wait.

The same record and timing as client-go's leaderelection: a lease not renewed for its duration may be taken.
Ages are measured by this process's own clock from when it saw a record change, never by comparing clocks of
two machines.

That two never work at once: others count a lease's duration from when they saw it renewed, which is after the renewal
was sent; the leader counts its shorter deadline from before it sent it. When that is over it writes nothing any more
(`Election.left`, by which its client is guarded), also when it was stopped in between and has not noticed yet.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
import random
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import LEASE
from apimachinery.kit import metrics, tasks
from apimachinery.objects import Obj, copy
from apimachinery.timestamps import format_micro, now

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.02
# Candidates try again after up to so many retry periods more, so that they do not come all at once (client-go's).
JITTER = 1.2
RELEASES = 3
LEADS = metrics.gauge("leader_election_master_status", "Whether this process leads", ("name",))


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

    def __post_init__(self) -> None:
        """Raises ValueError where two could lead at once."""
        if not self.lease_duration > self.renew_deadline > JITTER * self.retry_period > 0:
            text = f"lease_duration > renew_deadline > {JITTER:g} * retry_period > 0"
            raise ValueError(f"election: it has to be {text}; the defaults are 15, 10 and 2")


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


def boot_clock() -> float:
    """Seconds since the machine started, those included in which it slept: a lease runs out meanwhile, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Election:
    """One candidate for the lease `name`."""

    def __init__(
        self, client: Client, name: str, settings: ElectionSettings, clock: Callable[[], float] = boot_clock
    ) -> None:
        self._client = client
        self._name = name
        self._settings = settings
        self._clock = clock
        self.identity = settings.identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._seen: Obj | None = None
        self._seen_at = 0.0
        self.leading = False
        # When this process has to stop, by its clock, unless it renews before.
        self._end = 0.0
        self._away = False

    def left(self) -> float:
        """For how many seconds this process may still write."""
        if not self.leading:
            return 0.0
        return self._end - self._clock() if self._settings.leader_elect else math.inf

    def leads(self) -> bool:
        """Whether it may write now."""
        return self.left() > 0

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for leadership, then run `work` while renewing. Raises LeadershipLost, or what `work` raises; `work` has
        ended then.
        """
        if not self._settings.leader_elect:
            self.leading = True
            await work()
            return
        log.info("%s stands for %s", self.identity, self._name)
        while not await self._try(self._settings.renew_deadline):
            await self._pause()
        self._tell(True)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            done, _ = await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await tasks.end((working, renewing), self._settings.renew_deadline)

    async def release(self) -> None:
        """Give the lease back, so that the next candidate need not wait for it to expire. Nothing is written any more
        from here on.
        """
        if not self.leading or not self._settings.leader_elect:
            return
        self._tell(False)
        for attempt in range(RELEASES):
            try:
                await self._give_back()
                return
            except errors.Conflict as error:
                # The renewal that the stop cut short was on its way, and came between.
                if attempt == RELEASES - 1:
                    log.warning("lease %s not released: %s", self._name, error)
            except (errors.ApiError, errors.Unreachable) as error:
                log.warning("lease %s not released: %s", self._name, error)
                return

    async def _give_back(self) -> None:
        held = await self._client.get(LEASE, self._name, self._settings.namespace)
        if (held.get("spec") or {}).get("holderIdentity") == self.identity:
            lease = renewed(held, self.identity, 1, now())
            lease["spec"]["holderIdentity"] = ""
            await self._client.update(LEASE, lease)

    def _tell(self, leading: bool) -> None:
        self.leading = leading
        LEADS.labels(self._name).set(int(leading))
        log.info("%s %s", self.identity, "became leader" if leading else "stopped leading")

    async def _renew(self) -> None:
        while self.leads():
            await asyncio.sleep(min(self._settings.retry_period, self.left()))
            if await self._try(max(self.left(), 0.0)):
                continue
            if self._seen is not None and (self._seen.get("spec") or {}).get("holderIdentity") != self.identity:
                break
        self._tell(False)
        raise LeadershipLost(f"lease {self._name} not renewed for {self._settings.renew_deadline:g} s")

    async def _pause(self) -> None:
        """Until the next try: a server that is only starting is asked as soon as it takes connections."""
        if self._away:
            await self._client.reachable()
            await asyncio.sleep(_SETTLE_SECONDS)
        else:
            await asyncio.sleep(self._settings.retry_period * (1 + random.uniform(0, JITTER)))

    async def _try(self, seconds: float) -> bool:
        """Take or renew the lease within `seconds`; whether it is ours now."""
        self._away = False
        begun = self._clock()
        try:
            ours = await tasks.within(self._attempt(), seconds)
        except (errors.ApiError, errors.Unreachable, asyncio.TimeoutError) as error:
            self._away = isinstance(error, errors.Unreachable)
            log.debug("lease %s: %s", self._name, error)
            return False
        if ours:
            # From before it was asked for: however late the answer comes, others have seen it no earlier.
            self._end = begun + self._settings.renew_deadline
        return ours

    async def _attempt(self) -> bool:
        if not self.leading or not await self._renewed_as_seen():
            return await self._asked()
        return True

    async def _renewed_as_seen(self) -> bool:
        """Renew what was last seen, without asking for it first: a leader's usual way, one request."""
        assert self._seen is not None
        fresh = renewed(self._seen, self.identity, self._settings.lease_duration, now())
        try:
            self._see(await self._client.update(LEASE, fresh))
        except (errors.Conflict, errors.NotFound):
            return False
        return True

    async def _asked(self) -> bool:
        try:
            self._see(await self._client.get(LEASE, self._name, self._settings.namespace))
        except errors.NotFound:
            self._seen = None
        move = judge(self._seen, self.identity, self._clock() - self._seen_at)
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
            self._seen_at = self._clock()
        self._seen = lease
