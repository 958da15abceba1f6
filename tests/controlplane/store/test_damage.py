"""What damage to the store's files comes to: told with file, loss and remedy, and a way out."""

import asyncio
import os
import random
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from controlplane.store import Change, Corrupt, Delete, Locked, Place, Put, StoreError, build
from controlplane.store.__main__ import main as command
from controlplane.store.audit import audit
from controlplane.store.checksum import Row, added, sealed, sum_of
from controlplane.store.inspection import verify
from controlplane.store.journal import Notes
from controlplane.store.salvage import plan, salvage
from controlplane.store.sqlite import SqliteStore
from controlplane.store.witness import Mark, Witness, unpacked
from tests.controlplane.store.following import Plain
from tests.waiting import WHOLE


def rows(*changes: Change) -> list[Row]:
    found: list[Row] = []
    for change in changes:
        found.append(sealed(change, found[-1].chain if found else 0))
    return found


A, B, C = Change(2, "a", b"1", 2), Change(3, "b", b"2", 3), Change(4, "a", None, 2)


def test_a_checksum_covers_every_field_of_a_row() -> None:
    changed = [Change(3, "a", b"1", 2), Change(2, "b", b"1", 2), Change(2, "a", b"2", 2), Change(2, "a", b"1", 3)]
    changed += [Change(2, "a", None, 2), Change(2, "a", b"", 2)]
    assert len({sum_of(change) for change in (A, *changed)}) == len(changed) + 1


def test_sums_wrap_around() -> None:
    assert added((1 << 63) - 1, 1) == -(1 << 63)
    assert added(-5, 3) == -2


@pytest.mark.parametrize(
    "kept, mark, told",
    [
        (rows(A, B, C), Mark(7, 4, rows(A, B, C)[2].chain), ""),
        (rows(A, B, C), Mark(7, 3, rows(A, B, C)[1].chain), ""),
        (rows(A, B, C)[:2], Mark(7, 4, 0), "up to revision 4 were acknowledged: the changes of revision 4 are lost"),
        ([rows(A, B, C)[0], rows(A, B, C)[2]], Mark(7, 4, 0), "revision 3 is lost"),
        (rows(A, Change(3, "b", b"x", 3), C), Mark(7, 4, rows(A, B, C)[2].chain), "another history"),
        ([*rows(A, B)[:1], *rows(B, C)], Mark(7, 4, 0), "revision 3 (b) is lost"),
    ],
)
def test_an_audit_tells_what_is_lost(kept, mark, told) -> None:
    problems = "; ".join(audit(Notes(store=7), kept, mark).problems)
    assert told in problems and bool(told) == bool(problems)


def test_a_row_lost_among_those_that_compaction_left_is_missed() -> None:
    first, second, third = rows(A, B, C)
    notes = Notes(7, 4, 4, third.chain, added(first.sum, third.sum), 2)
    assert not audit(notes, [second], Mark(7, 4, third.chain)).problems
    assert audit(notes, [], Mark(7, 4, third.chain)).problems == (
        "1 objects are lost among those written up to revision 4",
    )


def test_a_damaged_copy_of_the_witness_is_healed_by_the_other(tmp_path: Path) -> None:
    mark = Mark(7, 12, -3)
    assert unpacked(mark.packed()) == mark
    path = tmp_path / "state.witness"
    Witness.make(path, mark).close()
    for place in (40, 4096 + 40):
        body = bytearray(path.read_bytes())
        body[place] ^= 1
        path.write_bytes(body)
        witness = Witness.open(path)
        assert witness is not None and witness.mark == mark and witness.healed
        witness.write(mark)
        witness.close()
    witness = Witness.open(path)
    assert witness is not None and not witness.healed
    with pytest.raises(Locked):
        Witness.open(path)
    witness.close()


# --- whole stores ---


def run(path: Path, *ops, compact: int = 0) -> list[Change]:
    """Write, and give the history afterwards."""

    async def main() -> list[Change]:
        store = SqliteStore(path)
        await store.open()
        try:
            for op in ops:
                await store.txn([op])
            if compact:
                await store.compact(compact)
            return await store.history()
        finally:
            await store.close()

    return asyncio.run(asyncio.wait_for(main(), WHOLE))


def filled(path: Path) -> list[Change]:
    return run(path, *(Put(f"k{n}", b"v" * 900) for n in range(100)), Delete("k7"), Put("k8", b"new"))


def refusal(path: Path) -> str:
    with pytest.raises(Corrupt) as told:
        run(path)
    text = str(told.value)
    assert str(path.parent) in text and "lost" in text and "restore the state files" in text and "salvage" in text
    return text


def test_a_store_that_existed_does_not_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    filled(path)
    path.write_bytes(b"")
    assert "all objects up to revision 103 are lost" in refusal(path)
    path.unlink()
    assert "is missing" in refusal(path)
    (tmp_path / "state.witness").unlink()
    (tmp_path / "state.db-wal").write_bytes(b"x" * 100)
    assert "is missing" in refusal(path)


def test_without_its_witness_a_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    filled(path)
    (tmp_path / "state.witness").unlink()
    assert "state.witness is missing" in refusal(path)
    (tmp_path / "state.witness").write_bytes(b"\0" * 8192)
    assert "state.witness is damaged" in refusal(path)


def test_an_older_copy_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    filled(path)
    old = path.read_bytes()
    run(path, Put("later", b"x"))
    path.write_bytes(old)
    assert "ends at revision 103, but writes up to revision 104 were acknowledged" in refusal(path)
    assert path.read_bytes() == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.db", "state.reserve", "state.witness"]


def test_a_value_changed_in_the_file_is_never_served(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    run(path, Put("k", b"precious" * 40))
    path.write_bytes(path.read_bytes().replace(b"precious", b"worthles", 1))
    assert "revision 2 (k) is lost: it does not match its checksum" in refusal(path)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "state.db"

    async def main() -> set[str]:
        store = SqliteStore(path)
        await store.open()
        await store.txn([Put("k", b"v")])
        there = {p.name for p in path.parent.iterdir() if stat.S_IMODE(p.stat().st_mode) == 0o600}
        await store.close()
        return there

    assert asyncio.run(main()) == {"state.db", "state.db-wal", "state.reserve", "state.witness"}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()} == {0o600}


def layout_one(path: Path, compacted: int = 0, newest: int = 0) -> None:
    """A file as earlier versions made it."""
    with sqlite3.connect(path) as link:
        link.execute("PRAGMA journal_mode = WAL")
        link.execute(
            "CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, value BLOB)"
        )
        link.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
        link.execute("INSERT INTO meta VALUES ('compacted', ?), ('newest', ?)", (compacted, newest))
        link.execute(f"PRAGMA application_id = {0x77687279}")
        link.execute("PRAGMA user_version = 1")
        for change in (Change(2, "a", b"1", 2), Change(5, "b", b"2", 4), Change(6, "c", b"3", 6)):
            link.execute(
                "INSERT INTO log VALUES (?, ?, ?, ?)", (change.revision, change.key, change.created, change.value)
            )
    link.close()


def test_a_file_of_the_first_layout_gets_its_checksums_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    layout_one(path, compacted=5, newest=5)
    before = run(path)
    assert [change.revision for change in before] == [2, 5, 6]
    assert [c.revision for c in run(path, Put("a", b"4"), compact=7)] == [5, 6, 7]
    assert verify(path).findings.head == 7
    path.write_bytes(b"")
    assert "revision 7 are lost" in refusal(path)


def test_a_first_layout_whose_newest_row_was_compacted_away_keeps_its_revision(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    layout_one(path, compacted=9, newest=9)
    run(path)
    assert run(path, Put("d", b"x"))[-1].revision == 10


def test_a_first_layout_with_a_gap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    layout_one(path, compacted=2, newest=2)
    assert "revision 3 to 4 is lost" in refusal(path)


def test_an_upgrade_cut_short_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    layout_one(path, compacted=5, newest=5)
    old = path.read_bytes()
    run(path)
    path.write_bytes(old)
    assert [change.revision for change in run(path)] == [2, 5, 6]
    assert verify(path).schema == 2


def test_what_is_left_of_a_damaged_store_is_told_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    filled(path)
    run(path, Put("k9", b"precious" * 40), Put("later", b"x"))
    path.write_bytes(path.read_bytes().replace(b"precious", b"worthles", 1))
    result = CliRunner().invoke(command, ["salvage", str(path)])
    assert result.exit_code == 0
    assert "1 changes between revision 104 and 104" in result.output
    kept = {change.key: change for change in run(path)}
    assert kept["k9"].value == b"v" * 900, "what was before the lost change"
    assert "k7" not in kept and kept["later"].value == b"x" and kept["k8"].value == b"new"
    (later,) = [c for c in run(path, Put("new", b"y")) if c.key == "new"]
    assert later.revision > 100_000, "no revision is given out twice"
    aside = next(p for p in tmp_path.iterdir() if p.name.startswith("damaged-"))
    assert {p.name for p in aside.iterdir()} == {"state.db", "state.witness"}


def test_salvage_without_a_witness_says_that_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    filled(path)
    (tmp_path / "state.witness").unlink()
    told, _ = salvage(path)
    assert len(told.kept) == 99 and "whatever was written after" in told.lost[-1]
    assert len(run(path)) == 99


def test_a_salvage_plan_names_objects_of_forgotten_history() -> None:
    told = plan([B], [2], 3, Mark(7, 3, 0))
    assert told.kept == (B,) and told.lost == ("1 objects last written at revision 2",)


def test_verify_says_whole_or_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    filled(path)
    assert "is whole" in CliRunner().invoke(command, ["verify", str(path)]).output
    os.truncate(path, 4096)
    assert CliRunner().invoke(command, ["verify", str(path)]).exit_code == 1
    with pytest.raises(Corrupt):
        verify(path)
    with pytest.raises(StoreError, match="no store"):
        verify(tmp_path / "other" / "state.db")


def test_a_store_is_built_by_name(tmp_path: Path) -> None:
    assert isinstance(build("sqlite", Place(tmp_path), Plain()), SqliteStore)
    with pytest.raises(StoreError, match="known are: etcd, sqlite"):
        build("etcd2", Place(tmp_path), Plain())
    with pytest.raises(StoreError, match="needs etcd_servers"):
        build("etcd", Place(tmp_path), Plain())
    with pytest.raises(StoreError, match="no host and port"):
        build("etcd", Place(tmp_path, ("https://etcd",)), Plain())


def test_history_is_checked_when_it_is_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "state.db")
        await store.open()
        await store.txn([Put("k", b"v")])
        assert len(await store.history()) == 1
        await store._call(lambda files: files.link.execute("UPDATE log SET value = ?", (b"w",)).fetchall())
        with pytest.raises(Corrupt, match="revision 2"):
            await store.history()
        await store.close()

    asyncio.run(asyncio.wait_for(main(), WHOLE))


def test_the_witness_is_never_behind_an_answer(tmp_path: Path) -> None:
    """Each answered revision stands in the witness at that moment, whatever else is written at once."""
    path = tmp_path / "state.witness"
    behind: list[int] = []

    async def main() -> None:
        store = SqliteStore(tmp_path / "state.db")
        await store.open()

        async def client(number: int) -> None:
            for count in range(random.randrange(5, 30)):
                (at,) = await store.txn([Put(f"{number}/{count}", b"v")])
                mark = unpacked(path.read_bytes()[:64])
                if mark is None or mark.revision < at:
                    behind.append(at)

        await asyncio.gather(*(client(n) for n in range(8)))
        await store.close()

    asyncio.run(asyncio.wait_for(main(), WHOLE))
    assert not behind
    assert threading.active_count() < 10
