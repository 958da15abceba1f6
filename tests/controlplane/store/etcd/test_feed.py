"""What followers are told, in which order, by the watch and by those who wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from controlplane.store import Change, Delete, Op, Put
from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.etcd import writing
from controlplane.store.etcd.doubt import Doubts
from controlplane.store.etcd.errors import Compacted
from controlplane.store.etcd.feed import Feed
from controlplane.store.etcd.places import Places
from tests.controlplane.store.following import Plain, Told
from tests.waiting import until

PLACES = Places("/registry", Plain())


class Followed:
    """A feed that has told everything up to revision 10, and who follows it."""

    def __init__(self) -> None:
        self.doubts, self.told = Doubts(), Told()
        self.feed = Feed(cast(Any, None), PLACES, self.doubts)
        self.feed.followers.append(self.told)
        self.feed.progress.advance(10)
        self._writing = writing.Writing(cast(Any, None), PLACES, self.doubts, cast(Any, None), self.feed.wrote)

    def write(self, revision: int, *ops: Op) -> None:
        """A transaction of this server is answered."""
        places = [PLACES.of(op.key) for op in ops]
        values = [op.value if isinstance(op, Put) else b"" for op in ops]
        answer = rpc.TxnResponse(succeeded=True)
        answer.header.revision = revision
        for op in ops:
            answer.responses.add()
            if isinstance(op, Put) and op.expect != 0:
                answer.responses.add().range.kvs.add(create_revision=4)
        self.feed.wrote(revision, self._writing._told(answer, ops, places, values))

    def watch(self, *events: tuple[int, str, bytes | None]) -> None:
        """What the watch tells in one answer."""
        answer = rpc.WatchResponse()
        for revision, key, value in events:
            event = answer.events.add(type=rpc.Event.PUT if value is not None else rpc.Event.DELETE)
            event.kv.key, event.kv.value, event.kv.mod_revision = PLACES.of(key), value or b"", revision
        self.feed._take(answer)

    @property
    def seen(self) -> list[tuple[int, str, bytes | None]]:
        return [(change.revision, change.key, change.value) for change in self.told.changes]


def test_what_this_server_wrote_is_told_in_order_however_its_answers_come_and_once() -> None:
    there = Followed()
    there.write(12, Put("b", b"2", 0), Delete("c", 7))
    assert not there.seen and there.feed.progress.revision == 10, "what was before it is not known yet"
    there.write(11, Put("a", b"1", 0))
    wanted: list[tuple[int, str, bytes | None]] = [(11, "a", b"1"), (12, "b", b"2"), (12, "c", None)]
    assert there.seen == wanted and there.told.revision == there.feed.progress.revision == 12
    there.watch((11, "a", b"1"), (12, "b", b"2"), (12, "c", None))
    assert there.seen == wanted
    there.watch((12, "c", None), (13, "d", b"4"))
    assert there.seen == [*wanted, (13, "d", b"4")]


def test_what_others_wrote_in_between_is_waited_for() -> None:
    there = Followed()
    there.write(12, Put("b", b"2", 0))
    there.write(14, Put("d", b"4", 0))
    there.watch((11, "a", b"1"))
    assert [at for at, _, _ in there.seen] == [11, 12]
    there.watch((13, "c", b"3"), (14, "d", b"4"))
    assert [at for at, _, _ in there.seen] == [11, 12, 13, 14]
    there.write(14, Put("d", b"4", 0))
    assert [at for at, _, _ in there.seen] == [11, 12, 13, 14], "its answer came last"
    assert not there.feed._ours


def test_of_what_is_written_far_ahead_of_the_watch_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.store.etcd.feed._AHEAD", 3)
    there = Followed()
    for revision in (12, 13, 14, 15):
        there.write(revision, Put(f"k{revision}", b"v", 0))
    assert list(there.feed._ours) == [12, 13]
    there.watch((11, "a", b"1"))
    assert [at for at, _, _ in there.seen] == [11, 12, 13]
    there.watch((12, "k12", b"v"), (13, "k13", b"v"), (14, "k14", b"v"), (15, "k15", b"v"))
    assert [at for at, _, _ in there.seen] == [11, 12, 13, 14, 15] and not there.feed._ours


def test_when_a_key_was_written_first_is_told_and_the_stores_own_keys_are_not() -> None:
    there = Followed()
    there.write(11, Put("a", b"1", 0), Put("b", b"2", 5), Delete("c"), Put("wherry/barrier", b""))
    assert [(change.key, change.created) for change in there.told.changes] == [("a", 11), ("b", 4), ("c", 0)]
    assert there.feed.progress.revision == 11


def test_who_is_in_doubt_hears_of_what_this_server_wrote() -> None:
    there = Followed()
    with (
        there.doubts.about(PLACES.of("a"), b"mine", 0) as mine,
        there.doubts.about(PLACES.of("a"), b"x", 7) as replacing,
    ):
        there.write(11, Put("a", b"mine", 0))
        assert mine.at == 11 and not replacing.at
        there.write(12, Put("a", b"x", 11))
        assert not replacing.at, "the change that followed revision 7 was another"


def test_what_a_follower_could_not_take_the_watch_tells_once_more(caplog: pytest.LogCaptureFixture) -> None:
    there = Followed()
    real, there.feed.followers = there.feed.followers, [Told(lambda batch: 1 / 0)]
    there.write(11, Put("a", b"1", 0))
    assert there.feed.progress.revision == 10 and "the watch tells of it again" in caplog.text
    there.feed.followers = real
    there.watch((11, "a", b"1"))
    assert there.seen == [(11, "a", b"1")]


def test_what_is_read_anew_after_a_compaction_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        there = Followed()
        for revision in (12, 20, 21, 25):
            there.write(revision, Put(f"k{revision}", b"v", 0))

        async def current() -> tuple[Sequence[Change], int]:
            return [Change(20, "k20", b"v", 20)], 20

        monkeypatch.setattr(there.feed, "current", current)
        await there.feed._overtaken(Compacted("gone"))
        assert there.told.missed == [([Change(20, "k20", b"v", 20)], 20)]
        assert [at for at, _, _ in there.seen] == [21] and list(there.feed._ours) == [25]

    asyncio.run(main())


def test_what_was_written_while_all_was_read_anew_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        there = Followed()

        async def current() -> tuple[Sequence[Change], int]:
            for revision in (11, 12, 13):
                there.write(revision, Put(f"k{revision}", b"v", 0))
            return [Change(11, "k11", b"v", 11), Change(12, "k12", b"v", 12)], 12

        monkeypatch.setattr(there.feed, "current", current)
        await there.feed._overtaken(Compacted("gone"))
        assert not there.told.missed
        assert [at for at, _, _ in there.seen] == [11, 12, 13] and there.feed.progress.revision == 13

    asyncio.run(main())


def test_what_a_follower_could_not_take_of_all_that_is_there_it_is_given_once_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        there, tries = Followed(), list[int]()

        async def watched() -> AsyncIterator[None]:
            raise Compacted("gone")
            yield

        async def current() -> tuple[Sequence[Change], int]:
            return [], 20

        def overtake(_current: Sequence[Change], revision: int) -> None:
            tries.append(revision)
            assert len(tries) > 1, "it cannot"

        monkeypatch.setattr(there.feed, "_watched", watched)
        monkeypatch.setattr(there.feed, "current", current)
        monkeypatch.setattr(there.told, "overtake", overtake)
        running = asyncio.ensure_future(there.feed.run())
        await until(lambda: running.done() or there.feed.progress.revision == 20)
        assert tries == [20, 20] and "it cannot" in there.feed.trouble
        running.cancel()

    asyncio.run(main())
