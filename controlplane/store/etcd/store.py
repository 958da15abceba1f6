"""The store on etcd: transactions, one watch that tells of everybody's, and reads that wait for it.

write path:  txn() -> etcd commits it -> followers get it -> the writer its answer
             Followers get it at once where all before it was told, else when the watch has brought that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apimachinery.kit import tasks
from controlplane.store import backup
from controlplane.store.etcd import pages, releases, transaction
from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.etcd.calls import ATTEMPT, DEADLINE, Calls
from controlplane.store.etcd.doubt import Doubts
from controlplane.store.etcd.errors import Compacted
from controlplane.store.etcd.feed import Feed
from controlplane.store.etcd.members import Members
from controlplane.store.etcd.places import Places
from controlplane.store.etcd.shared import Shared
from controlplane.store.etcd.writing import Writing
from controlplane.store.model import (
    Change,
    Follower,
    Full,
    Layout,
    Op,
    Place,
    Put,
    Snapshot,
    StoreError,
    Unavailable,
)

log = logging.getLogger(__name__)

# A watch is told of a change within milliseconds: after this many seconds something keeps it.
_SOON = 0.1
_LOOK_AGAIN = 2.0
_START = 20.0
"""Seconds after which a start is given up that finds no etcd: after one more attempt."""
_HISTORY = 10_000
"""Revisions from before the start that are read, for watches that resume."""


class EtcdStore:
    """controlplane.store.Store on etcd. open() before anything else."""

    def __init__(self, place: Place, layout: Layout) -> None:
        self._members = Members(place)
        self._calls = Calls(self._members)
        self._places = Places(place.prefix, layout)
        self._doubts = Doubts()
        self._feed = Feed(self._calls, self._places, self._doubts)
        self._writing = Writing(self._calls, self._places, self._doubts, self._reach, self._feed.wrote)
        self._compacted = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._barrier = Shared(self._write_barrier)
        self._newest = Shared(self._calls.newest)
        self._quiet = Shared(self._catch_up)

    @property
    def revision(self) -> int:
        return self._feed.progress.revision

    @property
    def compacted(self) -> int:
        return self._compacted

    @property
    def trouble(self) -> str:
        return self._writing.full

    @property
    def away(self) -> str:
        return self._feed.trouble

    @property
    def shared(self) -> bool:
        return True

    async def open(self) -> None:
        try:
            await self._answering()
            if told := releases.warning(await self._calls.version()):
                log.warning("%s", told)
            if await self._calls.value(self._places.unfinished) is not None:
                raise StoreError(
                    f"etcd at {self._members.server} holds half a backup: a restore was cut off; run it again"
                )
            newest = await self._calls.newest()
            self._compacted = await self._calls.oldest(max(newest - _HISTORY, 1), newest)
            await self._feed.begin(self._compacted)
            self._spawn(self._feed.run())
            self._spawn(self._look_again())
            await self._reach(newest, starting=True)
        except BaseException:
            await self.close()
            raise

    async def _answering(self) -> None:
        """Wait for etcd, which may only be starting, too. Raises Unavailable."""
        end = self._now() + _START
        while True:
            try:
                await self._calls.newest()
                return
            except Unavailable as error:
                if self._now() > end:
                    raise
                log.info("waiting for etcd: %s", error)

    async def close(self) -> None:
        await tasks.end(self._tasks, 5.0)
        await self._members.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

    def follow(self, follower: Follower) -> None:
        self._feed.followers.append(follower)
        self._feed.before.clear()

    async def history(self) -> list[Change]:
        if not self._feed.followers:
            return list(self._feed.before)
        found, _ = await self._feed.current()
        return found

    # --- writing ---

    async def txn(self, ops: Sequence[Op], *, removing: bool = False) -> list[int]:
        found: list[int] = []
        written: dict[str, int] = {}
        for part in transaction.parts(ops):
            at = await self._writing.transact(transaction.following(part, written))
            found += [at] * len(part)
            written |= {op.key: at if isinstance(op, Put) else 0 for op in part}
        return found

    async def _look_again(self) -> None:
        """Whether a full etcd has room again: its alarm was disarmed."""
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            if not self._writing.full:
                continue
            try:
                answer = await self._calls.ask("Maintenance/Alarm", rpc.AlarmRequest(), rpc.AlarmResponse)
            except StoreError as error:
                log.debug("%s", error)
                continue
            if not any(alarm.kind == 1 for alarm in answer.alarms):
                log.info("etcd has room again: everything can be written")
                self._writing.full = ""

    # --- reading ---

    async def fresh(self) -> None:
        await self._reach(await self._newest.result())

    async def _reach(self, revision: int, *, ours: bool = False, starting: bool = False) -> None:
        """Wait until everything up to a revision is delivered; ours: it is known to lie below the prefix; starting: as
        long as more and more is delivered. Raises Unavailable.
        """
        progress, end = self._feed.progress, self._now() + DEADLINE
        if await progress.reach(revision, _SOON):
            return
        # Either the watch is kept, or what was written lies outside of the prefix: then a write of ours follows it.
        while self._now() < end:
            at = revision if ours else await self._past(revision)
            turn, reached = self._members.turn, progress.revision
            if await progress.reach(max(at, revision), ATTEMPT):
                return
            if progress.revision > reached:
                # A member that has much to tell is left no sooner for it.
                end = self._now() + DEADLINE if starting else end
            elif self._members.turn == turn:
                # Of all who wait one moves on, and only after it waited since the last move: a watch needs time to
                # begin, also the next one of the only member.
                self._members.move()
        raise Unavailable("etcd's watch does not tell what was written", unsure=True)

    async def _past(self, revision: int) -> int:
        """A revision of ours that follows another; where nothing can be written, that one."""
        try:
            return await self._barrier.result()
        except Full:
            return max(revision, await self._quiet.result())

    async def _catch_up(self) -> int:
        """Go on to the newest revision if nothing below the prefix changed since what was told last: no key is newer,
        and none is gone. What others remove from a full etcd moves its revision, too. Returns what is told then.
        """
        told, newest, there = self.revision, await self._calls.newest(), 0
        try:
            async for kvs, _ in pages.read(self._calls.ask, self._places.all, newest, keys_only=True):
                if any(kv.mod_revision > told for kv in kvs):
                    return self.revision
                there += len(kvs)
            if there == await self._calls.count(self._places.all, told):
                self._feed.passed(newest)
        except Compacted as error:
            log.debug("%s", error)
        return self.revision

    async def _write_barrier(self) -> int:
        put = rpc.RequestOp(put=rpc.PutRequest(key=self._places.barrier))
        answer = await self._calls.ask("KV/Txn", rpc.TxnRequest(success=[put]), rpc.TxnResponse)
        return answer.header.revision

    # --- upkeep ---

    async def compact(self, revision: int) -> None:
        upto = min(revision, self.revision)
        try:
            await self._calls.ask("KV/Compact", rpc.CompactionRequest(revision=upto), rpc.CompactionResponse)
        except Compacted:
            log.debug("another server compacted revision %d", upto)
        self._compacted = max(self._compacted, upto)

    async def snapshot(self, target: Path) -> Snapshot:
        await self.fresh()
        return await backup.write_shared(self._feed.pages(), target)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
