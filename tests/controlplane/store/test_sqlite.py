"""The store on its file: revisions, expectations, history, and what happens when the file or the disk is bad."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controlplane.store import Change, Corrupt, Delete, Full, Locked, Mismatch, Put, StoreError
from controlplane.store.sqlite import SqliteStore
from tests.controlplane.store.following import Told
from tests.waiting import WHOLE


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def run(path: Path, test: Callable[[SqliteStore], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(path) as store:
            await test(store)

    asyncio.run(asyncio.wait_for(main(), WHOLE))


async def current(store: SqliteStore) -> dict[str, Change]:
    """What is there now, by key."""
    found = {change.key: change for change in await store.history()}
    return {key: change for key, change in found.items() if change.value is not None}


def test_revisions_ascend_and_survive_reopening(tmp_path: Path) -> None:
    seen: list[int] = []

    async def write(store: SqliteStore) -> None:
        (first,) = await store.txn([Put("a/x", b"1", 0)])
        (second,) = await store.txn([Put("a/x", b"2", first)])
        (gone,) = await store.txn([Delete("a/x", second)])
        assert first < second < gone
        assert "a/x" not in await current(store)
        seen.append(gone)

    async def reopen(store: SqliteStore) -> None:
        assert store.revision == seen[0]
        (later,) = await store.txn([Put("a/x", b"3", 0)])
        assert later > seen[0]
        record = (await current(store))["a/x"]
        assert record.value == b"3" and record.created == record.revision == later

    run(tmp_path / "state.db", write)
    run(tmp_path / "state.db", reopen)


def test_expectations_guard_writes(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        (at,) = await store.txn([Put("k", b"1", 0)])
        for op in (Put("k", b"2", 0), Put("k", b"2", at + 7), Delete("k", at + 7), Delete("other")):
            with pytest.raises(Mismatch):
                await store.txn([op])
        with pytest.raises(Mismatch):
            await store.txn([Put("new", b"1", 0), Put("k", b"2", at + 7)])
        assert "new" not in await current(store), "a transaction is all or nothing"

    run(tmp_path / "state.db", test)


def test_writers_at_once_get_one_winner(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        async def attempt(number: int) -> bool:
            try:
                await store.txn([Put("k", str(number).encode(), 0)])
            except Mismatch:
                return False
            return True

        results = await asyncio.gather(*(attempt(n) for n in range(50)))
        assert results.count(True) == 1

    run(tmp_path / "state.db", test)


def test_a_write_and_its_removal_in_one_transaction_are_two_changes(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        (at,) = await store.txn([Put("k", b"1", 0)])
        batches: list[Change] = []
        store.follow(Told(batches.extend))
        await store.txn([Put("k", b"2", at), Delete("k")])
        assert [change.value for change in batches] == [b"2", None]
        assert [change.created for change in batches] == [at, at]

    run(tmp_path / "state.db", test)


def test_followers_hear_before_the_writer_is_answered(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        heard: list[int] = []
        store.follow(Told(lambda batch: heard.extend(change.revision for change in batch)))
        for number in range(20):
            (revision,) = await store.txn([Put(f"k{number}", b"v", 0)])
            assert heard[-1] == revision

    run(tmp_path / "state.db", test)


def test_what_one_turn_of_the_loop_brings_is_one_commit(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        batches: list[int] = []
        store.follow(Told(lambda batch: batches.append(len(batch))))
        await asyncio.gather(*(store.txn([Put(f"a/{number}", b"1", 0)]) for number in range(1000)))
        assert batches == [1000]

    run(tmp_path / "state.db", test)


def test_a_question_sees_the_writes_before_it(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        write = asyncio.ensure_future(store.txn([Put("a/x", b"1", 0)]))
        await asyncio.sleep(0)
        assert "a/x" in await current(store)
        await write

    run(tmp_path / "state.db", test)


def test_compaction_forgets_what_is_superseded_and_nothing_else(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        (first,) = await store.txn([Put("kept", b"old", 0)])
        (second,) = await store.txn([Put("kept", b"new", first)])
        (third,) = await store.txn([Put("gone", b"x", 0)])
        (fourth,) = await store.txn([Delete("gone", third)])
        assert [change.revision for change in await store.history()] == [first, second, third, fourth]
        await store.compact(fourth)
        assert [change.revision for change in await store.history()] == [second]
        assert store.compacted == fourth
        assert set(await current(store)) == {"kept"}

    async def reopen(store: SqliteStore) -> None:
        (later,) = await store.txn([Put("more", b"x", 0)])
        assert later > 5, "revisions of forgotten changes are not given out again"

    run(tmp_path / "state.db", test)
    run(tmp_path / "state.db", reopen)


def test_a_full_disk_fails_the_write_and_loses_nothing(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store._call(lambda files: files.link.execute("PRAGMA max_page_count = 40").fetchall())
        acknowledged = []
        with pytest.raises(Full, match="full"):
            for number in range(1000):
                await store.txn([Put(f"k{number}", b"x" * 2000, 0)])
                acknowledged.append(f"k{number}")
        assert acknowledged
        await store._call(lambda files: files.link.execute("PRAGMA max_page_count = 100000").fetchall())
        while store.trouble:
            await asyncio.sleep(0.05)
        await store.txn([Put("after", b"fine", 0)])
        assert {key for key in await current(store) if key != "after"} == set(acknowledged)

    run(tmp_path / "state.db", test)


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    async def fill(store: SqliteStore) -> None:
        await asyncio.gather(*(store.txn([Put(f"k{n}", b"x" * 900, 0)]) for n in range(200)))

    run(path, fill)
    body = bytearray(path.read_bytes())
    body[4096:20480] = b"\xa5" * 16384
    path.write_bytes(body)
    with pytest.raises(Corrupt, match="restore the state files"):
        run(path, fill)


@pytest.mark.parametrize("content", [b"not a database at all" * 300, b""])
def test_what_is_no_state_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)

    async def nothing(store: SqliteStore) -> None:
        await store.txn([Put("k", b"v", 0)])

    if content:
        with pytest.raises(Corrupt):
            run(path, nothing)
    else:
        run(path, nothing)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as link:
        link.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()

    async def nothing(store: SqliteStore) -> None:
        raise AssertionError("must not open")

    with pytest.raises(Corrupt, match="another program"):
        run(path, nothing)
    with sqlite3.connect(path) as link:
        assert link.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    assert before == path.read_bytes()


def test_a_file_in_use_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "state.db"):
            with pytest.raises(Locked, match="in use by another process"):
                async with opened(tmp_path / "state.db"):
                    pass

    asyncio.run(asyncio.wait_for(main(), WHOLE))


def test_a_closing_store_finishes_what_was_asked_and_refuses_what_is_asked_then(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "s.db")
        await store.open()
        before = asyncio.ensure_future(store.txn([Put("a", b"1", 0)]))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreError):
            await store.txn([Put("b", b"1", 0)])
        assert len(await before) == 1
        await closing

    asyncio.run(asyncio.wait_for(main(), WHOLE))
