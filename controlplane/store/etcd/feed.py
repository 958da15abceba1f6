"""Everything that happens below the prefix, in order and without gaps, as followers are told it.

One watch from the revision after the last that was told; it is begun again on the next member when this one fails. Were
the changes since then compacted meanwhile, followers get what is there now instead of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence

from controlplane.store.etcd import pages
from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.etcd.calls import PAUSE, Calls
from controlplane.store.etcd.doubt import Doubts
from controlplane.store.etcd.errors import Compacted
from controlplane.store.etcd.places import Places
from controlplane.store.model import Change, Follower, StoreError, Unavailable
from controlplane.store.progress import Progress

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 1.0
_AHEAD = 1000
"""Revisions: what this server wrote farther ahead of what is told is not kept, and the watch tells it."""

Told = tuple[bytes, "bytes | None", "Change | None"]
"""One key that a transaction changed: where, the value there (None: removed), and what followers are told of it."""


class Feed:
    def __init__(self, calls: Calls, places: Places, doubts: Doubts) -> None:
        self._calls, self._places, self._doubts = calls, places, doubts
        self.progress = Progress()
        self.followers: list[Follower] = []
        # What happened while nobody followed yet.
        self.before: list[Change] = []
        self.trouble = ""
        # By revision: transactions of this server, before all that was before them is told.
        self._ours: dict[int, Sequence[Told]] = {}

    async def begin(self, revision: int) -> None:
        """Start from what was there at a revision."""
        self.before = [change async for changes, _ in self.pages(revision) for change in changes]
        self.before.sort(key=lambda change: change.revision)
        self.progress.advance(revision)

    async def current(self) -> tuple[list[Change], int]:
        """What is there now, ascending, and the revision of that."""
        found: list[Change] = []
        at = 0
        async for changes, revision in self.pages():
            found += changes
            at = revision
        return sorted(found, key=lambda change: change.revision), at

    async def pages(self, revision: int = 0) -> AsyncIterator[tuple[Sequence[Change], int]]:
        """The same in key order, piece by piece."""
        async for kvs, at in pages.read(self._calls.ask, self._places.all, revision):
            yield list(self._read((kv, False) for kv in kvs)), at

    async def run(self) -> None:
        """For ever."""
        pause = PAUSE
        while True:
            try:
                async for _ in self._followed():
                    pause = PAUSE
            except StoreError as error:
                if not self.trouble:
                    log.warning("the watch of etcd ended: %s", error)
                self.trouble = str(error)
            except Exception as error:
                # Its revision was not taken in: the watch begins there again.
                log.exception("what etcd told could not be taken in")
                self.trouble = f"what etcd told could not be taken in: {error}"
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _followed(self) -> AsyncIterator[None]:
        """As _watched; what is there now, where that cannot go on."""
        try:
            async for _ in self._watched():
                yield
        except Compacted as error:
            await self._overtaken(error)

    async def _watched(self) -> AsyncIterator[None]:
        """One watch; an item for each answer that was taken in. Raises Compacted, Unavailable, StoreError."""
        request = rpc.WatchCreateRequest(
            key=self._places.all,
            range_end=pages.end_of(self._places.all),
            start_revision=self.progress.revision + 1,
            progress_notify=True,
        )
        async for answer in self._calls.members.stream(
            "Watch/Watch", rpc.WatchRequest(create=request), rpc.WatchResponse
        ):
            if answer.canceled:
                if answer.compact_revision:
                    raise Compacted(f"changes up to revision {answer.compact_revision} are compacted")
                self._calls.members.move()
                raise Unavailable(f"etcd ended a watch: {answer.cancel_reason}")
            if self.trouble:
                log.info("etcd at %s is followed again", self._calls.members.server)
                self.trouble = ""
            self._take(answer)
            yield

    def wrote(self, revision: int, told: Sequence[Told]) -> None:
        """All that a transaction of this server did. A revision is one transaction: where all before it is known, this
        one is, too, and whoever waits for it need not wait for the watch, which tells of it once more.
        """
        if self.progress.revision < revision <= self.progress.revision + _AHEAD:
            self._ours[revision] = told
            try:
                self._take_ours()
            except Exception:
                log.exception("what was written could not be taken in; the watch tells of it again")

    def passed(self, revision: int) -> None:
        """Nothing that is told happened up to a revision."""
        self._advance(revision)
        self._take_ours()

    def _take_ours(self) -> None:
        while (told := self._ours.pop(self.progress.revision + 1, None)) is not None:
            revision = self.progress.revision + 1
            for place, value, _ in told:
                self._doubts.saw(place, value, revision)
            self._deliver([change for _, _, change in told if change is not None])
            self._advance(revision)

    def _take(self, answer: rpc.WatchResponse) -> None:
        if not answer.events:
            if not answer.created:
                self._advance(answer.header.revision)
            return
        new = (event for event in answer.events if event.kv.mod_revision > self.progress.revision)
        events = [(event.kv, event.type == rpc.Event.DELETE) for event in new]
        for kv, deleted in events:
            self._ours.pop(kv.mod_revision, None)
            self._doubts.saw(kv.key, None if deleted else kv.value, kv.mod_revision)
        if events:
            self._deliver(list(self._read(events)))
            self._advance(events[-1][0].mod_revision)
            self._take_ours()

    def _read(self, found: Iterable[tuple[rpc.KeyValue, bool]]) -> Iterable[Change]:
        for kv, deleted in found:
            try:
                read = self._places.inward(kv, deleted)
            except ValueError as error:
                log.error(
                    "%s at revision %d is left out: %s", kv.key.decode("utf-8", "replace"), kv.mod_revision, error
                )
                continue
            if read is not None:
                yield Change(kv.mod_revision, read[0], read[1], kv.create_revision)

    def _deliver(self, changes: list[Change]) -> None:
        if not self.followers:
            self.before += changes
        elif changes:
            for follower in self.followers:
                follower.deliver(changes)

    def _advance(self, revision: int) -> None:
        for follower in self.followers:
            follower.advance(revision)
        self.progress.advance(revision)

    async def _overtaken(self, error: Compacted) -> None:
        current, at = await self.current()
        if at <= self.progress.revision:
            # Meanwhile those who wrote told more than was read, and nothing is missing.
            return
        log.warning("%s: everybody who watches lists again, from revision %d", error, at)
        for follower in self.followers:
            follower.overtake(current, at)
        if not self.followers:
            self.before = current
        self.progress.advance(at)
        self._ours = {revision: told for revision, told in self._ours.items() if revision > at}
        self._take_ours()
