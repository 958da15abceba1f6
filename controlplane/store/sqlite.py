"""The store on one SQLite file: one writer thread that commits whatever has queued up as one transaction.

write path:  txn() -> queue -> writer thread: check expectations, INSERT rows, COMMIT (fsync)
             -> back on the loop: followers get the batch, then the writers their answer
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.store import journal
from controlplane.store.model import (
    Change,
    Compacted,
    Deliver,
    Mismatch,
    Op,
    Put,
    Record,
    StoreError,
)

# More in one commit adds latency to the first of the batch without adding throughput.
_MAX_BATCH = 512


@dataclass
class _Write:
    ops: Sequence[Op]
    future: asyncio.Future[list[int]]


@dataclass
class _Call:
    function: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


@dataclass
class _Done:
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteStore:
    """controlplane.store.Store on a file. open() before anything else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[_Write | _Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._followers: list[Deliver] = []
        self._revision = 0
        self._compacted = 0
        # Below: the writer thread's alone once open() has returned.
        self._last = 0
        self._index: dict[str, tuple[int, int]] = {}
        # (revision of the row that made it obsolete, obsolete row), ascending in the first
        self._obsolete: deque[tuple[int, int]] = deque()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    def follow(self, deliver: Deliver) -> None:
        self._followers.append(deliver)

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="store-writer", daemon=True)
        self._thread.start()
        await opened

    async def close(self) -> None:
        """Finish what is queued, checkpoint and close the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            # What is asked from now on is refused: behind this mark nobody would answer it.
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    async def txn(self, ops: Sequence[Op]) -> list[int]:
        future: asyncio.Future[list[int]] = self._running().create_future()
        self._queue.put(_Write(ops, future))
        return await future

    async def get(self, key: str) -> Record | None:
        def read(link: sqlite3.Connection) -> Record | None:
            return self._record(link, key)

        found: Record | None = await self._call(read)
        return found

    async def range(self, prefix: str) -> list[Record]:
        def read(link: sqlite3.Connection) -> list[Record]:
            keys = sorted(key for key in self._index if key.startswith(prefix))
            return [record for key in keys if (record := self._record(link, key))]

        found: list[Record] = await self._call(read)
        return found

    async def changes(self, after: int) -> list[Change]:
        def read(link: sqlite3.Connection) -> list[Change]:
            if after < self._compacted:
                raise Compacted(self._compacted)
            return list(journal.rows(link, after))

        found: list[Change] = await self._call(read)
        return found

    async def history(self) -> list[Change]:
        """Every row kept, ascending: what is current, and what superseded it since the last compaction."""
        found: list[Change] = await self._call(lambda link: list(journal.rows(link)))
        return found

    async def compact(self, revision: int) -> None:
        def forget(link: sqlite3.Connection) -> int:
            upto = min(revision, self._last)
            dead = []
            while self._obsolete and self._obsolete[0][0] <= upto:
                dead.append(self._obsolete.popleft()[1])
            journal.forget(link, dead, upto, self._last)
            return upto

        self._compacted = max(self._compacted, await self._call(forget))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None:
            raise StoreError("the store is not open")
        return self._loop

    async def _call(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        future: asyncio.Future[Any] = self._running().create_future()
        self._queue.put(_Call(function, future))
        return await future

    # --- the writer thread ---

    def _run(self, opened: asyncio.Future[None]) -> None:
        assert self._loop is not None
        try:
            link = journal.connect(self._path)
            try:
                self._load(link)
            except sqlite3.Error as error:
                link.close()
                raise journal.translate(error, self._path) from error
        except Exception as error:
            self._loop.call_soon_threadsafe(_Done(opened, error=error).settle)
            return
        self._loop.call_soon_threadsafe(_Done(opened).settle)
        while self._step(link):
            pass
        try:
            link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            pass
        finally:
            link.close()

    def _load(self, link: sqlite3.Connection) -> None:
        self._compacted, newest = journal.compacted(link)
        for change in journal.rows(link):
            self._note(change)
        # Kubernetes gives "0" a meaning of its own: a first write must not get a revision that reads as
        # unset.
        self._revision = self._last = max(self._last, newest, self._compacted, 1)

    def _note(self, change: Change) -> None:
        before = self._index.get(change.key)
        if before is not None:
            self._obsolete.append((change.revision, before[0]))
        if change.value is None:
            self._index.pop(change.key, None)
            self._obsolete.append((change.revision, change.revision))
        else:
            self._index[change.key] = (change.revision, change.created)
        self._last = change.revision

    def _record(self, link: sqlite3.Connection, key: str) -> Record | None:
        at = self._index.get(key)
        value = journal.value_at(link, at[0]) if at else None
        return None if at is None or value is None else Record(key, value, at[0], at[1])

    def _step(self, link: sqlite3.Connection) -> bool:
        """Wait for work, do one batch of it; False when told to stop."""
        job = self._queue.get()
        writes: list[_Write] = []
        while True:
            if isinstance(job, _Write):
                writes.append(job)
            else:
                self._commit(link, writes)
                writes = []
                if job is None:
                    return False
                self._answer(link, job)
            if len(writes) >= _MAX_BATCH:
                break
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
        self._commit(link, writes)
        return True

    def _answer(self, link: sqlite3.Connection, call: _Call) -> None:
        done = _Done(call.future)
        try:
            done.result = call.function(link)
        except sqlite3.Error as error:
            done.error = journal.translate(error, self._path)
        except Exception as error:
            done.error = error
        self._post([], [done])

    def _commit(self, link: sqlite3.Connection, writes: list[_Write]) -> None:
        if not writes:
            return
        batch, done = self._plan(writes)
        if batch:
            try:
                journal.append(link, batch)
            except sqlite3.Error as error:
                failure = journal.translate(error, self._path)
                for answer in done:
                    answer.error = answer.error or failure
                batch = []
        for change in batch:
            self._note(change)
        self._post(batch, done)

    def _plan(self, writes: list[_Write]) -> tuple[list[Change], list[_Done]]:
        """Give out revisions to the writes whose expectations hold, each seeing the ones before it."""
        ahead: dict[str, tuple[int, int] | None] = {}
        batch: list[Change] = []
        done: list[_Done] = []
        last = self._last
        for write in writes:
            try:
                planned = _check(write.ops, last, ahead, self._index)
            except Mismatch as error:
                done.append(_Done(write.future, error=error))
                continue
            for change in planned:
                ahead[change.key] = None if change.value is None else (change.revision, change.created)
            last += len(planned)
            batch += planned
            done.append(_Done(write.future, [change.revision for change in planned]))
        return batch, done

    def _post(self, batch: list[Change], done: list[_Done]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, batch, done)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            return

    def _deliver(self, batch: list[Change], done: list[_Done]) -> None:
        try:
            if batch:
                self._revision = batch[-1].revision
                for deliver in self._followers:
                    deliver(batch)
        finally:
            # It is durable, whatever a follower made of it.
            for answer in done:
                answer.settle()


def _check(
    ops: Sequence[Op],
    last: int,
    ahead: dict[str, tuple[int, int] | None],
    index: dict[str, tuple[int, int]],
) -> list[Change]:
    planned: list[Change] = []
    own: dict[str, tuple[int, int] | None] = {}
    for op in ops:
        known: Mapping[str, tuple[int, int] | None] = own if op.key in own else ahead if op.key in ahead else index
        at = known.get(op.key)
        current = at[0] if at else 0
        if op.expect is not None and op.expect != current:
            raise Mismatch(op.key, current)
        revision = last + len(planned) + 1
        if isinstance(op, Put):
            created = at[1] if at else revision
            planned.append(Change(revision, op.key, op.value, created))
            own[op.key] = (revision, created)
        elif at is None:
            raise Mismatch(op.key, 0)
        else:
            planned.append(Change(revision, op.key, None, at[1]))
            own[op.key] = None
    return planned
