"""The store on one SQLite file: one thread that commits whatever has queued up as one transaction.

write path:  txn() -> what one turn of the loop brings -> queue -> the thread: check expectations, INSERT rows, COMMIT
             (fsync), tell the witness -> back on the loop: followers get the batch, then the writers their answer
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controlplane.store import backup, journal
from controlplane.store.checksum import Row, added
from controlplane.store.ledger import Ledger
from controlplane.store.model import Change, Corrupt, Delete, Follower, Full, Mismatch, Op, Snapshot, StoreError
from controlplane.store.opening import Opened, open_files
from controlplane.store.reserve import Reserve
from controlplane.store.witness import Mark

log = logging.getLogger(__name__)

# From so many writes on no more are waited for in one commit, as that adds latency to the first without adding
# throughput; what one turn of the loop brings is not parted, and may be more.
_MAX_BATCH = 512
_LOOK_AGAIN = 2.0
"""Seconds after which a full disk is looked at again."""


@dataclass
class _Write:
    ops: Sequence[Op]
    future: asyncio.Future[list[int]]
    removing: bool


@dataclass
class _Call:
    function: Callable[[Opened], Any]
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
        self._queue: queue.SimpleQueue[list[_Write] | _Call | None] = queue.SimpleQueue()
        self._gathered: list[_Write] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._followers: list[Follower] = []
        self._revision = 0
        self._compacted = 0
        self._copying = 0
        # Below: the thread's alone once open() has returned; trouble is only read elsewhere.
        self._reserve = Reserve(path)
        self._trouble = ""
        self._look_at = 0.0
        self._ledger = Ledger()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    @property
    def trouble(self) -> str:
        return self._trouble

    @property
    def away(self) -> str:
        return ""

    @property
    def shared(self) -> bool:
        return False

    async def fresh(self) -> None:
        """Nobody else writes, and who was answered finds it delivered."""

    def follow(self, follower: Follower) -> None:
        self._followers.append(follower)

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
            self._hand_over()
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    async def txn(self, ops: Sequence[Op], *, removing: bool = False) -> list[int]:
        future: asyncio.Future[list[int]] = self._running().create_future()
        if not self._gathered:
            self._running().call_soon(self._hand_over)
        self._gathered.append(_Write(ops, future, removing or all(isinstance(op, Delete) for op in ops)))
        return await future

    def _hand_over(self) -> None:
        """All writes of one turn of the loop at once.

        One by one, the first would wake the thread, and both would take the interpreter from each other while the
        others are still being prepared: more commits, each of fewer rows.
        """
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._queue.put(gathered)

    async def history(self) -> list[Change]:
        def read(files: Opened) -> list[Change]:
            # What the start has read and verified need not be read again.
            kept, files.history = files.history, []
            return kept if kept and kept[-1].revision == self._ledger.last else _checked(files, self._path)

        found: list[Change] = await self._call(read)
        return found

    async def snapshot(self, target: Path) -> Snapshot:
        self._copying += 1
        try:
            return await backup.write(await self._call(self._moment), self._some, target)
        finally:
            self._copying -= 1

    def _moment(self, files: Opened) -> backup.Moment:
        return backup.Moment(files.notes.store, self._ledger.last, self._ledger.current())

    async def _some(self, revisions: Sequence[int]) -> list[Row]:
        found: list[Row] = await self._call(lambda files: journal.some(files.link, revisions))
        return found

    async def compact(self, revision: int) -> None:
        if self._copying:
            # What is superseded meanwhile is still to be copied; another time will do.
            return

        def forget(files: Opened) -> int:
            upto = min(revision, self._ledger.last)
            dead = self._ledger.obsolete(upto)
            notes = files.notes
            for own in journal.sums(files.link, dead):
                notes = replace(notes, forgotten=added(notes.forgotten, own))
            rows = notes.forgotten_rows + len(dead)
            notes = replace(
                notes,
                compacted=max(upto, notes.compacted),
                newest=self._ledger.last,
                chain=files.chain,
                forgotten_rows=rows,
            )
            # The row that the witness points to may go: it must not lag behind then.
            files.witness.sync()
            journal.forget(files.link, dead, notes)
            self._ledger.forget(len(dead))
            files.notes = notes
            return notes.compacted

        self._compacted = max(self._compacted, await self._call(forget))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None:
            raise StoreError("the store is not open")
        return self._loop

    async def _call(self, function: Callable[[Opened], Any]) -> Any:
        future: asyncio.Future[Any] = self._running().create_future()
        self._hand_over()
        self._queue.put(_Call(function, future))
        return await future

    # --- the thread ---

    def _run(self, opened: asyncio.Future[None]) -> None:
        assert self._loop is not None
        try:
            files = open_files(self._path, self._reserve)
            self._load(files)
        except Exception as error:
            self._loop.call_soon_threadsafe(_Done(opened, error=error).settle)
            return
        self._loop.call_soon_threadsafe(_Done(opened).settle)
        while self._step(files):
            pass
        try:
            files.link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            log.info("%s is left with its log: %s", self._path, error)
        finally:
            files.link.close()
            self._reserve.close()
            files.witness.close()

    def _load(self, files: Opened) -> None:
        for change in files.history:
            self._ledger.note(change)
        self._revision = self._ledger.last = files.head
        self._compacted = files.notes.compacted
        if not self._reserve.keep():
            self._enter(f"{self._path.parent} has no room to spare")

    def _step(self, files: Opened) -> bool:
        """Wait for work, do one batch of it; False when told to stop."""
        job = self._next(files)
        writes: list[_Write] = []
        while True:
            if isinstance(job, list):
                writes += job
            else:
                self._commit(files, writes)
                writes = []
                if job is None:
                    return False
                self._answer(files, job)
            if len(writes) >= _MAX_BATCH:
                break
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
        self._commit(files, writes)
        return True

    def _next(self, files: Opened) -> list[_Write] | _Call | None:
        """The next job; while there is none, what can wait is done: the witness's sync, another look at a full disk."""
        while True:
            due = files.witness.wait()
            if due == 0.0:
                self._sync(files)
                continue
            if self._trouble and time.monotonic() >= self._look_at:
                self._look_again()
            waits = [due] if due is not None else []
            waits += [_LOOK_AGAIN] if self._trouble else []
            try:
                return self._queue.get(timeout=min(waits, default=None))
            except queue.Empty:
                continue

    def _sync(self, files: Opened) -> None:
        try:
            files.witness.sync()
        except OSError as error:
            self._enter(f"cannot write {files.witness.path}: {error.strerror}")

    def _enter(self, why: str) -> None:
        """Nothing but removals from now on, until there is room again."""
        self._reserve.hand_over()
        if not self._trouble:
            log.error("%s; until there is room, objects can only be read and removed", why)
        self._trouble = why
        self._look_at = time.monotonic() + _LOOK_AGAIN

    def _look_again(self) -> None:
        self._look_at = time.monotonic() + _LOOK_AGAIN
        if self._reserve.keep():
            log.info("%s has room again: everything can be written", self._path.parent)
            self._trouble = ""

    def _answer(self, files: Opened, call: _Call) -> None:
        done = _Done(call.future)
        try:
            done.result = call.function(files)
        except sqlite3.Error as error:
            done.error = journal.translate(error, self._path)
            if isinstance(done.error, Full):
                self._enter(str(done.error))
        except Exception as error:
            done.error = error
        self._post([], [done])

    def _commit(self, files: Opened, writes: list[_Write]) -> None:
        if not writes:
            return
        batch, done = self._plan(files, writes)
        if batch:
            try:
                journal.append(files.link, batch)
            except sqlite3.Error as error:
                failure = journal.translate(error, self._path)
                if isinstance(failure, Full) and not self._trouble:
                    # Once more with the room in reserve: removals pass, the rest is refused.
                    self._enter(str(failure))
                    self._commit(files, writes)
                    return
                for answer in done:
                    answer.error = answer.error or failure
                batch = []
        if batch:
            self._acknowledge(files, batch)
        self._post([row.change for row in batch], done)

    def _acknowledge(self, files: Opened, batch: list[Row]) -> None:
        for row in batch:
            self._ledger.note(row.change)
        files.chain = batch[-1].chain
        try:
            files.witness.write(Mark(files.notes.store, self._ledger.last, files.chain))
        except OSError as error:
            # It is durable; without a witness nothing more is taken on.
            self._enter(f"cannot write {files.witness.path}: {error.strerror}")

    def _plan(self, files: Opened, writes: list[_Write]) -> tuple[list[Row], list[_Done]]:
        """The rows to be written, and everybody's answer should that succeed."""
        taken = [write for write in writes if write.removing or not self._trouble]
        batch, outcomes = self._ledger.batch([write.ops for write in taken], files.chain)
        done = [
            _Done(write.future, error=outcome) if isinstance(outcome, Mismatch) else _Done(write.future, outcome)
            for write, outcome in zip(taken, outcomes, strict=True)
        ]
        if len(taken) < len(writes):
            refused = (write for write in writes if not write.removing)
            done += [_Done(write.future, error=Full(self._trouble)) for write in refused]
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
                for follower in self._followers:
                    follower.deliver(batch)
        finally:
            # It is durable, whatever a follower made of it.
            for answer in done:
                answer.settle()


def _checked(files: Opened, path: Path) -> list[Change]:
    """Every row, read anew. Raises Corrupt."""
    found = []
    for row in journal.rows(files.link):
        if not row.sound:
            raise Corrupt(f"{path} is damaged: revision {row.change.revision} does not match its checksum")
        found.append(row.change)
    return found
