"""The rows of the state file: one append-only table whose newest row of a key is its current value.

A write is one INSERT; history costs no second copy. Which rows may be forgotten is known from memory
(superseded), so that no index on keys has to be kept on disk. All functions block and belong to the writer
thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from controlplane.store.model import Change, Corrupt, Full, Locked, StoreError

APPLICATION_ID = 0x77687279
SCHEMA = 1
_CREATE = (
    "CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, value BLOB)",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('compacted', 0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's own error for one of SQLite's, with what the user can do."""
    text = str(error)
    if "full" in text or "readonly" in text or "disk I/O" in text:
        return Full(f"cannot write {path}: {text}; free space on its file system or make it writable")
    if "locked" in text:
        return Locked(f"{path} is in use by another process; stop it or choose another data_dir")
    if "malformed" in text or "not a database" in text or "corrupt" in text:
        return Corrupt(f"{path} is damaged ({text}); restore it from a backup, or move it away to start empty")
    return StoreError(f"{path}: {text}")


def connect(path: Path) -> sqlite3.Connection:
    """Open and check the file, creating it when absent. Raises Corrupt, Locked, Full, StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        link = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open {path}: {error}") from error
    try:
        link.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Before anything that would write: another program's file stays as it is.
        empty = _is_empty(link, path)
        link.execute("PRAGMA auto_vacuum = INCREMENTAL")
        link.execute("PRAGMA journal_mode = WAL")
        link.execute("PRAGMA synchronous = FULL")
        link.execute("PRAGMA journal_size_limit = 16777216")
        _create(link) if empty else _check(link, path)
    except sqlite3.Error as error:
        link.close()
        raise translate(error, path) from error
    except StoreError:
        link.close()
        raise
    path.chmod(0o600)
    return link


def _is_empty(link: sqlite3.Connection, path: Path) -> bool:
    """Raises Corrupt for a file of another program or another layout."""
    (tables,) = link.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = link.execute("PRAGMA application_id").fetchone()
    (schema,) = link.execute("PRAGMA user_version").fetchone()
    if not tables and not owner:
        return True
    if owner != APPLICATION_ID:
        raise Corrupt(f"{path} is an SQLite file of another program; choose another data_dir")
    if schema != SCHEMA:
        raise Corrupt(f"{path} has layout {schema}, this version knows {SCHEMA}")
    return False


def _create(link: sqlite3.Connection) -> None:
    link.execute("BEGIN IMMEDIATE")
    for statement in _CREATE:
        link.execute(statement)
    link.execute("COMMIT")


def _check(link: sqlite3.Connection, path: Path) -> None:
    (verdict,) = link.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Corrupt(f"{path} is damaged ({verdict}); restore it from a backup, or move it away to start empty")


def rows(link: sqlite3.Connection, after: int = 0) -> Iterator[Change]:
    """The log after a revision, ascending."""
    query = "SELECT revision, key, value, created FROM log WHERE revision > ? ORDER BY revision"
    for revision, key, value, created in link.execute(query, (after,)):
        yield Change(revision, key, value, created)


def value_at(link: sqlite3.Connection, revision: int) -> bytes | None:
    row = link.execute("SELECT value FROM log WHERE revision = ?", (revision,)).fetchone()
    return None if row is None else row[0]


def append(link: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Commit changes as one transaction. Raises sqlite3.Error, nothing written then."""
    link.execute("BEGIN IMMEDIATE")
    try:
        link.executemany(
            "INSERT INTO log (revision, key, value, created) VALUES (?, ?, ?, ?)",
            [(c.revision, c.key, c.value, c.created) for c in changes],
        )
        link.execute("COMMIT")
    except BaseException:
        if link.in_transaction:
            link.execute("ROLLBACK")
        raise


def compacted(link: sqlite3.Connection) -> tuple[int, int]:
    """The compaction revision and the newest revision ever given out that compaction may have removed."""
    found = dict(link.execute("SELECT name, value FROM meta"))
    return found.get("compacted", 0), found.get("newest", 0)


def forget(link: sqlite3.Connection, superseded: list[int], revision: int, newest: int) -> None:
    """Delete rows and remember up to where, then give freed pages back."""
    link.execute("BEGIN IMMEDIATE")
    try:
        link.executemany("DELETE FROM log WHERE revision = ?", [(r,) for r in superseded])
        marks = [("compacted", revision), ("newest", newest)]
        link.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", marks)
        link.execute("COMMIT")
    except BaseException:
        if link.in_transaction:
            link.execute("ROLLBACK")
        raise
    link.execute("PRAGMA incremental_vacuum(256)").fetchall()
    link.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
