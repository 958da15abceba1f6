"""Copies of a store: made while it works, verified by themselves, and put back.

A snapshot is one file, in the store's own layout, with what was current at one revision and no history. It carries the
chain over its rows, so that damage to it is known without anything beside it.
"""

from __future__ import annotations

import asyncio
import calendar
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from controlplane.store import journal, witness
from controlplane.store.audit import audit
from controlplane.store.checksum import Row, sealed
from controlplane.store.inspection import closing_witness, leaving_nothing
from controlplane.store.journal import BEFORE_FIRST, Notes
from controlplane.store.model import Change, Corrupt, Snapshot, StoreError
from controlplane.store.salvage import AHEAD, Salvage, replaced
from controlplane.store.witness import Mark, Witness

_AT_ONCE = 256
"""Rows read between two writes of others."""
_STAMP = "%Y%m%dT%H%M%SZ"
_SUFFIX, _PARTIAL, _LOG = ".db", ".partial", "-wal"

P = ParamSpec("P")
T = TypeVar("T")
Read = Callable[[Sequence[int]], Awaitable[list[Row]]]


@dataclass(frozen=True)
class Moment:
    """What is to be copied: the store's id, its newest revision, and those of the rows that are current then."""

    store: int
    head: int
    revisions: Sequence[int]


async def write(moment: Moment, read: Read, target: Path) -> Snapshot:
    """Make a snapshot, whole or not at all; read gives rows by revision. Raises Corrupt, Full, StoreError."""
    partial = target.with_name(target.name + _PARTIAL)
    try:
        link = await _finished(_begin, partial)
        try:
            chain = 0
            for start in range(0, len(moment.revisions), _AT_ONCE):
                rows = _sealed(await read(moment.revisions[start : start + _AT_ONCE]), chain)
                await _finished(journal.append, link, rows)
                chain = rows[-1].chain
            forgotten = moment.head - BEFORE_FIRST - len(moment.revisions)
            await _finished(_end, link, Notes(moment.store, moment.head, moment.head, chain, 0, forgotten))
        finally:
            link.close()
        await _finished(_publish, partial, target)
    except sqlite3.Error as error:
        raise journal.translate(error, partial) from error
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        for left in (partial, partial.with_name(partial.name + _LOG)):
            left.unlink(missing_ok=True)
    return Snapshot(target, moment.head, len(moment.revisions))


async def write_shared(found: AsyncIterator[tuple[Sequence[Change], int]], target: Path) -> Snapshot:
    """The same of a store that tells changes in another order, several at one revision: they follow each other here."""
    changes: list[Change] = []
    head = BEFORE_FIRST
    async for piece, revision in found:
        changes += piece
        head = max(head, revision)
    rows = list(apart(changes))
    head = max(head, rows[-1].change.revision if rows else 0)
    by_revision = {row.change.revision: row for row in rows}

    async def read(revisions: Sequence[int]) -> list[Row]:
        return [by_revision[revision] for revision in revisions]

    moment = Moment(secrets.randbits(62), head, [row.change.revision for row in rows])
    return await write(moment, read, target)


def apart(changes: Iterable[Change]) -> Iterator[Row]:
    """Changes in the order of their revisions, each at one of its own: its own, or the next that is free. Pure."""
    last = BEFORE_FIRST
    for change in sorted(changes, key=lambda change: (change.revision, change.key)):
        last = max(last + 1, change.revision)
        yield sealed(replace(change, revision=last, created=min(change.created, last)), 0)


async def _finished(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a blocking call in a thread gives; whoever gives up waits until it is through, so that nothing is closed or
    removed under it.
    """
    call = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait((call,))
        raise


def _begin(path: Path) -> sqlite3.Connection:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    link = journal.connect(path)
    journal.create(link, Notes())
    return link


def _sealed(rows: Sequence[Row], chain: int) -> list[Row]:
    """The rows as they follow each other in a snapshot."""
    made: list[Row] = []
    for row in rows:
        if not row.sound:
            raise Corrupt(f"revision {row.change.revision} ({row.change.key}) does not match its checksum")
        made.append(sealed(row.change, made[-1].chain if made else chain))
    return made


def _end(link: sqlite3.Connection, notes: Notes) -> None:
    journal.note(link, notes)
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _publish(partial: Path, target: Path) -> None:
    partial.rename(target)
    handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> tuple[Notes, list[Change]]:
    """A snapshot's content, verified. Raises Corrupt, StoreError."""
    if not path.is_file():
        raise StoreError(f"there is no backup in {path}")
    if not os.access(path, os.R_OK, effective_ids=True):
        raise StoreError(f"{path} may not be read by this user: its owner may, or root (sudo)")
    found: list[Row] = []
    try:
        with leaving_nothing(path), closing(journal.connect(path, to_read=True)) as link:
            notes = journal.notes_of(link)
            found.extend(journal.rows(link))
    except sqlite3.Error as error:
        raise Corrupt(f"{path} is damaged ({error}); take another backup") from error
    judged = audit(notes, found, Mark(notes.store, notes.newest, notes.chain))
    if judged.problems:
        raise Corrupt(f"{path} is damaged: {'; '.join(judged.problems)}; take another backup")
    return notes, [row.change for row in found]


def restore(snapshot: Path, path: Path, now: Callable[[], float] = time.time) -> tuple[int, int, Path | None]:
    """Put a snapshot in the place of a store that is not in use.

    It goes on far ahead of every revision that either has given out, with a new identity and no history, so that
    whoever watches lists again. Gives the number of objects, the revision, and where what was there before is now.
    Raises StoreError, with nothing changed.
    """
    notes, changes = read(snapshot)
    with closing_witness(Witness.open(witness.path_of(path))) as found:
        known = found.mark.revision if found is not None and found.mark is not None else 0
        told = Salvage(tuple(changes), (), max(notes.newest, known) + AHEAD)
        aside = path.parent / time.strftime("before-restore-%Y%m%d-%H%M%S", time.gmtime(now()))
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replaced(path, found, told, aside)
            if not any(aside.iterdir()):
                aside.rmdir()
                return len(changes), told.revision, None
        except OSError as error:
            raise StoreError(f"cannot restore {path}: {error}") from error
    return len(changes), told.revision, aside


def name_of(now: float, revision: int) -> str:
    """What a scheduled snapshot is called."""
    return f"{time.strftime(_STAMP, time.gmtime(now))}-r{revision}{_SUFFIX}"


def outdated(names: Iterable[str], now: float, count: int, seconds: float) -> list[str]:
    """The scheduled snapshots that need not be kept: beyond so many, or older than that (0: no matter how old). The
    newest one always stays; what is called otherwise is nobody's to remove.
    """
    known = sorted((at, name) for name in names if (at := _made(name)) is not None)
    kept = {name for at, name in known[-max(count, 1) :] if not seconds or now - at <= seconds}
    kept |= {name for _, name in known[-1:]}
    return [name for _, name in known if name not in kept]


def is_unfinished(name: str) -> bool:
    """Whether a file is what is left of a scheduled snapshot whose maker was killed."""
    stem, partial, rest = name.partition(_PARTIAL)
    return bool(partial) and rest in ("", _LOG) and _made(stem) is not None


def _made(name: str) -> float | None:
    stamp, dash, rest = name.partition("-r")
    if not dash or not rest.endswith(_SUFFIX) or not rest.removesuffix(_SUFFIX).isdigit():
        return None
    try:
        return float(calendar.timegm(time.strptime(stamp, _STAMP)))
    except ValueError:
        return None
