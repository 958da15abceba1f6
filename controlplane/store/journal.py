"""The rows of the state file: one append-only table whose newest row of a key is its current value.

A write is one INSERT; history costs no second copy. Which rows may be forgotten is known from memory (superseded), so
that no index on keys has to be kept on disk. All functions block and belong to the store's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from controlplane.store.checksum import Row
from controlplane.store.model import Change, Corrupt, Full, Locked, StoreError

APPLICATION_ID = 0x77687279
SCHEMA = 2
BEFORE_FIRST = 1
"""Kubernetes gives "0" a meaning of its own: a first write must not get a revision that reads as unset."""
_CREATE = (
    "CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, value BLOB,"
    " sum INTEGER NOT NULL DEFAULT 0, chain INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)
_ROWS = (256, 64, 16, 4, 1)
_INSERT = {
    size: "INSERT INTO log (revision, key, value, created, sum, chain) VALUES "
    + ", ".join(["(?, ?, ?, ?, ?, ?)"] * size)
    for size in _ROWS
}
REMEDY = (
    "restore the state files of one moment from a backup, or run `python -m controlplane.store salvage {path}`,"
    " which says what is lost, keeps the rest and goes on from there"
)


@dataclass(frozen=True)
class Notes:
    """What is known of the file as a whole; forgotten rows are those that compaction took away."""

    store: int = 0
    """The id that the witness has too."""
    compacted: int = 0
    """Up to here only what is current may be left."""
    newest: int = BEFORE_FIRST
    """The newest revision at the last compaction."""
    chain: int = 0
    """The chain there."""
    forgotten: int = 0
    """The sum of the checksums of all forgotten rows."""
    forgotten_rows: int = 0
    """How many they are."""


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's own error for one of SQLite's, with what the user can do."""
    text = str(error)
    if "full" in text or "readonly" in text or "disk I/O" in text:
        return Full(f"cannot write {path}: {text}; free space on its file system or make it writable")
    if "locked" in text:
        return Locked(f"{path} is in use by another process; stop it or choose another data_dir")
    if "malformed" in text or "not a database" in text or "corrupt" in text:
        return Corrupt(f"{path} is damaged ({text}): some or all objects are lost; {REMEDY.format(path=path)}")
    return StoreError(f"{path}: {text}")


def connect(path: Path, *, to_read: bool = False) -> sqlite3.Connection:
    """Open the file, checking whose it is; not to_read: in the mode that it is written in. Raises sqlite3.Error,
    Corrupt.

    A connection to read changes neither the file nor its log, also when it is closed.
    """
    link = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={'ro' if to_read else 'rwc'}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=1.0,
    )
    try:
        link.execute("PRAGMA cell_size_check = ON")
        if to_read:
            schema_of(link, path)
            return link
        link.execute("PRAGMA locking_mode = EXCLUSIVE")
        if not path.stat().st_size:
            # It can only be said before the first table, and would write to a file that has some.
            link.execute("PRAGMA auto_vacuum = INCREMENTAL")
        link.execute("PRAGMA journal_mode = WAL")
        link.execute("PRAGMA synchronous = FULL")
        link.execute("PRAGMA journal_size_limit = 16777216")
    except BaseException:
        link.close()
        raise
    return link


def head_without_log(path: Path) -> int:
    """The newest revision in the file itself, its log left aside; 0 when it cannot be read.

    A log that a checkpoint was carrying over holds whatever the file has: it never ends earlier.
    """
    try:
        link = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            (head,) = link.execute("SELECT max(revision) FROM log").fetchone()
            return int(head or 0)
        finally:
            link.close()
    except (sqlite3.Error, TypeError, ValueError):
        return 0


def schema_of(link: sqlite3.Connection, path: Path) -> int:
    """The layout of the file, 0 for an empty one. Raises Corrupt for a file of another program or layout."""
    (tables,) = link.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = link.execute("PRAGMA application_id").fetchone()
    (schema,) = link.execute("PRAGMA user_version").fetchone()
    if not tables and not owner:
        return 0
    if owner != APPLICATION_ID:
        raise Corrupt(f"{path} is an SQLite file of another program; choose another data_dir")
    if schema not in (1, SCHEMA):
        raise Corrupt(f"{path} has layout {schema}, this version knows {SCHEMA}")
    return int(schema)


@contextmanager
def transaction(link: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    link.execute("BEGIN IMMEDIATE")
    try:
        yield
        link.execute("COMMIT")
    except BaseException:
        if link.in_transaction:
            link.execute("ROLLBACK")
        raise


def create(link: sqlite3.Connection, notes: Notes) -> None:
    with transaction(link):
        for statement in _CREATE:
            link.execute(statement)
        note(link, notes)


def upgrade(link: sqlite3.Connection, notes: Notes, rows: Iterable[Row]) -> None:
    """From layout 1, which had no checksums."""
    with transaction(link):
        link.execute("ALTER TABLE log ADD COLUMN sum INTEGER NOT NULL DEFAULT 0")
        link.execute("ALTER TABLE log ADD COLUMN chain INTEGER NOT NULL DEFAULT 0")
        sums = ((row.sum, row.chain, row.change.revision) for row in rows)
        link.executemany("UPDATE log SET sum = ?, chain = ? WHERE revision = ?", sums)
        note(link, notes)
        link.execute(f"PRAGMA user_version = {SCHEMA}")


def notes_of(link: sqlite3.Connection) -> Notes:
    found = dict(link.execute("SELECT name, value FROM meta"))
    known = Notes(**{field.name: found[field.name] for field in fields(Notes) if field.name in found})
    return known if known.newest else Notes(compacted=known.compacted)


def note(link: sqlite3.Connection, notes: Notes) -> None:
    """Write down what is known of the file as a whole."""
    values = [(field.name, getattr(notes, field.name)) for field in fields(Notes)]
    link.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)


def plain_rows(link: sqlite3.Connection) -> Iterator[Change]:
    """The log of either layout, ascending, unchecked."""
    for revision, key, value, created in link.execute(
        "SELECT revision, key, value, created FROM log ORDER BY revision"
    ):
        yield Change(revision, key, value, created)


def rows(link: sqlite3.Connection, descending: bool = False) -> Iterator[Row]:
    """The log by revision, with its checksums, unchecked."""
    order = "DESC" if descending else "ASC"
    query = f"SELECT revision, key, value, created, sum, chain FROM log ORDER BY revision {order}"
    for revision, key, value, created, own, chain in link.execute(query):
        yield Row(Change(revision, key, value, created), own, chain)


def some(link: sqlite3.Connection, revisions: Sequence[int]) -> list[Row]:
    """The rows of these revisions, ascending, unchecked."""
    marks = ", ".join("?" * len(revisions))
    query = f"SELECT revision, key, value, created, sum, chain FROM log WHERE revision IN ({marks}) ORDER BY revision"
    return [Row(Change(*row[:4]), *row[4:]) for row in link.execute(query, revisions)]


def append(link: sqlite3.Connection, new: Sequence[Row]) -> None:
    """Commit rows as one transaction. Raises sqlite3.Error, nothing written then.

    In few statements, for at each SQLite lets other threads run, and this one waits for its turn afterwards.
    """
    if len(new) == 1:
        return _insert(link, new)
    with transaction(link):
        start = 0
        while start < len(new):
            rows = next(size for size in _ROWS if size <= len(new) - start)
            _insert(link, new[start : start + rows])
            start += rows
    return None


def _insert(link: sqlite3.Connection, new: Sequence[Row]) -> None:
    values: list[object] = []
    for change, own, chain in new:
        values += (change.revision, change.key, change.value, change.created, own, chain)
    link.execute(_INSERT[len(new)], values)


def sums(link: sqlite3.Connection, revisions: Iterable[int]) -> list[int]:
    """The checksums of rows by revision."""
    query = "SELECT sum FROM log WHERE revision = ?"
    return [int(link.execute(query, (revision,)).fetchone()[0]) for revision in revisions]


def forget(link: sqlite3.Connection, superseded: list[int], notes: Notes) -> None:
    """Delete rows and remember that, then give freed pages back."""
    with transaction(link):
        link.executemany("DELETE FROM log WHERE revision = ?", [(r,) for r in superseded])
        note(link, notes)
    link.execute("PRAGMA incremental_vacuum(256)").fetchall()
    link.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
