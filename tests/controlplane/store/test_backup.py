"""Copies of a store that works, their own damage, and what is put back."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from controlplane.store import Change, Corrupt, Delete, Locked, Put, Snapshot, StoreError, backup, journal
from controlplane.store.checksum import Row
from controlplane.store.sqlite import SqliteStore

NOW = 1_767_268_800.0  # 2026-01-01T12:00:00Z


async def opened(folder: Path) -> SqliteStore:
    store = SqliteStore(folder / "state.db")
    await store.open()
    return store


def current(changes: list[Change]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for change in changes:
        found.pop(change.key, None)
        if change.value is not None:
            found[change.key] = change.value
    return found


async def filled(store: SqliteStore, count: int) -> None:
    await asyncio.gather(*(store.txn([Put(f"k/{n}", b"%d" % n * 50)]) for n in range(count)))
    await store.txn([Put("k/0", b"again")])
    await store.txn([Delete("k/1")])


def made(folder: Path, count: int = 600) -> Snapshot:
    async def main() -> Snapshot:
        store = await opened(folder)
        await filled(store, count)
        try:
            return await store.snapshot(folder / "copy.db")
        finally:
            await store.close()

    return asyncio.run(main())


def test_a_copy_is_of_one_moment_while_others_write_and_history_is_compacted(tmp_path: Path) -> None:
    async def main() -> None:
        store = await opened(tmp_path)
        await filled(store, 1500)
        before, at = current(await store.history()), store.revision
        copying = asyncio.ensure_future(store.snapshot(tmp_path / "copy.db"))
        await asyncio.sleep(0)
        written = 0
        while not copying.done():
            await store.txn([Put(f"k/{written % 700 + 2}", b"later")])
            await store.compact(store.revision)
            written += 1
        found = await copying
        assert written > 10, "others had their turn"
        assert (found.revision, found.objects) == (at, len(before))
        notes, changes = backup.read(found.path)
        assert notes.newest == at and current(changes) == before
        await store.compact(store.revision)
        assert store.compacted == store.revision, "and history is compacted again"
        await store.close()

    asyncio.run(main())
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


def test_damage_to_a_copy_is_known(tmp_path: Path) -> None:
    found = made(tmp_path)
    body = bytearray(found.path.read_bytes())
    refused = 0
    for at in range(0, len(body), len(body) // 60):
        broken = tmp_path / "broken.db"
        broken.write_bytes(bytes(body[:at]) + bytes([body[at] ^ 4]) + bytes(body[at + 1 :]))
        try:
            assert backup.read(broken) == backup.read(found.path), f"byte {at} changed what is read"
        except StoreError as error:
            assert str(broken) in str(error) and "backup" in str(error)
            refused += 1
    assert refused > 40
    broken.write_bytes(bytes(body[: len(body) // 2]))
    with pytest.raises(Corrupt):
        backup.read(broken)
    with pytest.raises(StoreError, match="no backup"):
        backup.read(tmp_path / "nothing.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_copy_that_one_may_not_read_is_not_called_damaged() -> None:
    with tempfile.TemporaryDirectory(prefix="wht-") as directory:
        made(Path(directory), 5)
        Path(directory).chmod(0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(StoreError, match="may not be read") as told:
                backup.read(Path(directory) / "copy.db")
        finally:
            os.seteuid(0)
    assert not isinstance(told.value, Corrupt)


def test_what_is_put_back_goes_on_far_ahead_and_keeps_what_was_there(tmp_path: Path) -> None:
    found = made(tmp_path)

    async def later() -> int:
        store = await opened(tmp_path)
        await store.txn([Put("late", b"x")])
        with pytest.raises(Locked):
            backup.restore(found.path, tmp_path / "state.db")
        await store.close()
        return store.revision

    newest = asyncio.run(later())
    count, revision, aside = backup.restore(found.path, tmp_path / "state.db", lambda: NOW)
    assert count == found.objects and revision >= newest + 100_000
    assert aside is not None and aside.name == "before-restore-20260101-120000"

    async def after(folder: Path) -> dict[str, bytes]:
        store = await opened(folder)
        assert store.revision >= newest
        kept = current(await store.history())
        (at,) = await store.txn([Put("new", b"y")])
        assert at == store.revision > newest
        await store.close()
        return kept

    assert asyncio.run(after(tmp_path)) == current(backup.read(found.path)[1])
    old = tmp_path / "old"
    shutil.copytree(aside, old)
    assert "late" in asyncio.run(after(old)), "what was there before is a store still"


def test_a_copy_is_put_where_there_was_nothing(tmp_path: Path) -> None:
    found = made(tmp_path / "a")
    count, _, aside = backup.restore(found.path, tmp_path / "b" / "state.db")
    assert aside is None and count == found.objects

    async def main() -> None:
        store = await opened(tmp_path / "b")
        assert len(current(await store.history())) == count
        await store.close()

    asyncio.run(main())


def test_a_copy_of_what_is_damaged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        store = await opened(tmp_path)
        await filled(store, 5)
        real = store._some

        async def damaged(revisions: list[int]) -> list[object]:
            return [row._replace(sum=row.sum + 1) for row in await real(revisions)]

        store._some = damaged  # type: ignore[assignment,method-assign]
        with pytest.raises(Corrupt, match="does not match its checksum"):
            await store.snapshot(tmp_path / "copy.db")
        await store.close()

    asyncio.run(main())
    assert not list(tmp_path.glob("copy*"))


HOUR = 3600.0
HOURLY = [backup.name_of(NOW - n * HOUR, 100 - n) for n in range(10)]


@pytest.mark.parametrize(
    ("count", "hours", "kept"),
    [(3, 0, 3), (3, 100, 3), (100, 4.5, 5), (100, 0, 10), (0, 0, 1), (100, 0.0001, 1)],
)
def test_copies_are_kept_by_count_and_age_and_the_newest_always(count: int, hours: float, kept: int) -> None:
    names = [*HOURLY, "notes.txt", "mine.db", "20260101T120000Z-rx.db", "2026-r1.db"]
    left = set(names) - set(backup.outdated(names, NOW, count, hours * HOUR))
    assert left - set(HOURLY) == set(names) - set(HOURLY), "what is called otherwise is not ours"
    assert left & set(HOURLY) == set(HOURLY[:kept])
    assert backup.outdated(names, NOW + 1000 * HOUR, 5, HOUR) and HOURLY[0] not in backup.outdated(
        names, NOW + 1000 * HOUR, 5, HOUR
    )


def test_a_copy_that_is_given_up_is_not_closed_under_the_thread_that_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on, written = threading.Event(), threading.Event(), []

    def append(link: sqlite3.Connection, rows: Sequence[Row]) -> None:
        inside.set()
        go_on.wait(60)
        written.append(link.execute("SELECT count(*) FROM log").fetchone())

    async def main() -> None:
        store = await opened(tmp_path)
        await filled(store, 10)
        monkeypatch.setattr(backup, "journal", _With(journal, append))
        copying = asyncio.ensure_future(store.snapshot(tmp_path / "copy.db"))
        assert await asyncio.to_thread(inside.wait, 10)
        copying.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await copying
        await store.close()

    asyncio.run(main())
    assert written == [(0,)]
    assert not list(tmp_path.glob("copy*"))


class _With:
    """A module with one function of it replaced, for its one user alone."""

    def __init__(self, module: object, append: object) -> None:
        self._module, self.append = module, append

    def __getattr__(self, name: str) -> object:
        return getattr(self._module, name)
