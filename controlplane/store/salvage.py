"""The way out of a damaged store without a backup: what can be read and is sound goes into a new file.

What is lost is told as far as anyone can know it. The new file goes on far ahead of every revision that may have been
given out, with a new identity and no history, so that whoever watches has to list again. The damaged files are kept.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from controlplane.store import journal, witness
from controlplane.store.checksum import Row, sealed
from controlplane.store.inspection import closing_witness, leaving_nothing
from controlplane.store.journal import BEFORE_FIRST, Notes
from controlplane.store.model import Change, StoreError
from controlplane.store.witness import Mark, Witness

AHEAD = 100_000
"""Revisions skipped: more than can have been given out and forgotten."""


@dataclass(frozen=True)
class Salvage:
    """What a damaged store still has: kept is what is current in it; lost says what is not, for a user."""

    kept: tuple[Change, ...]
    lost: tuple[str, ...]
    revision: int
    """Where the new store goes on."""


def plan(changes: list[Change], unsound: list[int], compacted: int, mark: Mark | None) -> Salvage:
    """What to keep of the rows that could be read. Pure."""
    current: dict[str, Change] = {}
    for change in changes:
        current.pop(change.key, None)
        if change.value is not None:
            current[change.key] = change
    head = changes[-1].revision if changes else BEFORE_FIRST
    acknowledged = max(head, mark.revision if mark is not None else 0)
    there = {change.revision for change in changes}
    missing = [at for at in range(compacted + 1, acknowledged + 1) if at not in there and at > BEFORE_FIRST]
    lost = []
    if missing:
        lost.append(
            f"{len(missing)} changes between revision {missing[0]} and {missing[-1]}: objects that they made are gone, "
            "others are as they were before, deleted ones may be back"
        )
    older = [at for at in unsound if at <= compacted]
    if older:
        lost.append(f"{len(older)} objects last written at revision {', '.join(map(str, older[:10]))}")
    if mark is None:
        lost.append("whatever was written after what could be read: the witness, which would know, is lost, too")
    return Salvage(tuple(current.values()), tuple(lost), acknowledged + AHEAD)


def salvage(path: Path, now: Callable[[], float] = time.time) -> tuple[Salvage, Path]:
    """Replace a damaged store by what is left of it; also gives where the damaged files are now.

    Raises StoreError, with nothing changed, when the store is in use or nothing at all can be read.
    """
    with closing_witness(Witness.open(witness.path_of(path))) as found:
        changes, unsound, compacted = _readable(path)
        told = plan(changes, unsound, compacted, found.mark if found is not None else None)
        aside = path.parent / time.strftime("damaged-%Y%m%d-%H%M%S", time.gmtime(now()))
        try:
            return told, replaced(path, found, told, aside)
        except OSError as error:
            raise StoreError(f"cannot salvage {path}: {error}") from error


def replaced(path: Path, found: Witness | None, told: Salvage, aside: Path) -> Path:
    """In an order that leaves, whenever it is cut short, a store that refuses to start rather than an empty one."""
    fresh = path.with_name(path.name + ".salvaged")
    mark = _written(fresh, told)
    aside.mkdir(mode=0o700)
    if found is not None:
        shutil.copy2(found.path, aside / found.path.name)
        found.write(mark)
        found.sync()
    else:
        Witness.make(witness.path_of(path), mark).close()
    for old in (path, path.with_name(path.name + "-wal")):
        if old.exists():
            old.rename(aside / old.name)
    fresh.rename(path)
    return aside


def _written(fresh: Path, told: Salvage) -> Mark:
    fresh.unlink(missing_ok=True)
    rows: list[Row] = []
    for change in sorted(told.kept, key=lambda change: change.revision):
        rows.append(sealed(change, rows[-1].chain if rows else 0))
    chain = rows[-1].chain if rows else 0
    at = told.revision
    notes = Notes(secrets.randbits(62), at, at, chain, 0, at - BEFORE_FIRST - len(rows))
    try:
        with closing(journal.connect(fresh)) as link:
            journal.create(link, notes)
            journal.append(link, rows)
            link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise journal.translate(error, fresh) from error
    fresh.chmod(0o600)
    return Mark(notes.store, at, chain)


def _readable(path: Path) -> tuple[list[Change], list[int], int]:
    """The sound rows, ascending; the revisions of unsound ones; up to where the file was compacted."""
    if not path.exists():
        return [], [], 0
    found: dict[int, Change] = {}
    unsound: set[int] = set()
    compacted = 0
    with leaving_nothing(path):
        try:
            with closing(journal.connect(path, to_read=True)) as link:
                for descending in (False, True):
                    for row in _until_damage(link, descending):
                        at = row.change.revision
                        if row.sound and isinstance(at, int):
                            found[at] = row.change
                        else:
                            unsound.add(at)
                compacted = _compacted(link)
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise journal.translate(error, path) from error
    return [found[at] for at in sorted(found)], sorted(unsound), compacted


def _until_damage(link: sqlite3.Connection, descending: bool) -> Iterator[Row]:
    try:
        yield from journal.rows(link, descending)
    except sqlite3.Error:
        return


def _compacted(link: sqlite3.Connection) -> int:
    try:
        return journal.notes_of(link).compacted
    except (sqlite3.Error, TypeError):
        return 0
