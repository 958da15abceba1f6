"""From what lies on the disk to an open store.

Nothing is written before the whole has been read and found to be what was written last: a refused start leaves every
file as it is.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from controlplane.store import journal, witness
from controlplane.store.inspection import Inspection, inspect, with_sums
from controlplane.store.journal import Notes
from controlplane.store.model import Change, StoreError
from controlplane.store.reserve import Reserve
from controlplane.store.witness import Mark, Witness

log = logging.getLogger(__name__)


@dataclass
class Opened:
    """A verified store; history is every row that is kept."""

    link: sqlite3.Connection
    witness: Witness
    notes: Notes
    head: int
    chain: int
    history: list[Change]


def open_files(path: Path, reserve: Reserve) -> Opened:
    """Verify and open, making a store where there never was one. Raises Corrupt, Locked, Full, StoreError."""
    found = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.chmod(0o700)
        found = Witness.open(witness.path_of(path))
        judged = inspect(path, found, reserve)
        _for_owner_alone(path)
        opened = _begun(path, found) if judged is None else _resumed(path, found, judged)
        opened.witness.write(Mark(opened.notes.store, opened.head, opened.chain))
        opened.witness.sync()
    except BaseException as error:
        if found is not None:
            found.close()
        if isinstance(error, sqlite3.Error):
            raise journal.translate(error, path) from error
        if isinstance(error, OSError):
            raise StoreError(f"cannot open {path}: {error}") from error
        raise
    return opened


def _for_owner_alone(path: Path) -> None:
    """Before SQLite makes them: it gives a log the mode of its database. Raises OSError."""
    path.touch(0o600)
    for file in (path, path.with_name(path.name + "-wal")):
        if file.exists():
            file.chmod(0o600)


def _begun(path: Path, found: Witness | None) -> Opened:
    """A new store. Its witness comes first: without one, a store that has been written to is refused."""
    made = found or Witness.make(witness.path_of(path), Mark(secrets.randbits(62), 0, 0))
    assert made.mark is not None
    notes = Notes(store=made.mark.store)
    link = _connected(path, made, found)
    if journal.schema_of(link, path) == 0:
        journal.create(link, notes)
    return Opened(link, made, notes, journal.BEFORE_FIRST, 0, [])


def _resumed(path: Path, found: Witness | None, judged: Inspection) -> Opened:
    """Go on with a store that was found whole."""
    if found is not None and found.healed:
        log.warning("one of the two copies in %s was damaged and is written anew", found.path)
    notes, findings = judged.notes, judged.findings
    made = found or Witness.make(witness.path_of(path), Mark(notes.store, findings.head, findings.chain))
    link = _connected(path, made, found)
    if judged.schema != journal.SCHEMA:
        log.info("%s gets checksums: %d rows", path, len(judged.history))
        journal.upgrade(link, notes, with_sums(judged.history))
    return Opened(link, made, notes, findings.head, findings.chain, judged.history)


def _connected(path: Path, made: Witness, found: Witness | None) -> sqlite3.Connection:
    try:
        return journal.connect(path)
    except BaseException:
        if found is None:
            made.close()
        raise
