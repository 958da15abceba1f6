"""What lies on the disk, read as a whole and judged; nothing is changed by it."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from controlplane.store import journal, witness
from controlplane.store.audit import Findings, audit
from controlplane.store.checksum import Row, sealed
from controlplane.store.journal import REMEDY, Notes
from controlplane.store.model import Change, Corrupt, Full, Locked, StoreError
from controlplane.store.reserve import Reserve
from controlplane.store.witness import Mark, Witness

log = logging.getLogger(__name__)

_UNSURE = "without it nobody can say whether {} is the newest, and the last writes may be lost"


@dataclass(frozen=True)
class Inspection:
    """A store that is whole: its layout, what it says of itself, where it ends, and every row that is kept."""

    schema: int
    notes: Notes
    findings: Findings
    history: list[Change]


def verify(path: Path) -> Inspection:
    """Judge a store that is not in use. Raises Corrupt, Locked, StoreError."""
    with closing_witness(Witness.open(witness.path_of(path))) as found:
        judged = inspect(path, found, Reserve(path))
    if judged is None:
        raise StoreError(f"there is no store in {path}")
    return judged


def inspect(path: Path, found: Witness | None, reserve: Reserve) -> Inspection | None:
    """None when there never was a store. Raises Corrupt for one that is damaged or not the newest, Locked, Full."""
    try:
        return _inspected(path, found, reserve)
    except sqlite3.Error as error:
        known = journal.translate(error, path)
        if isinstance(known, Full | Locked | Corrupt):
            raise known from error
        raise _damaged(path, f"is damaged ({error}): some or all objects are lost", path) from error


def _inspected(path: Path, found: Witness | None, reserve: Reserve) -> Inspection | None:
    if found is not None and found.mark is None:
        raise _damaged(found.path, f"is damaged: {_UNSURE.format(path.name)}", path)
    mark = found.mark if found is not None and found.mark is not None else Mark(0, 0, 0)
    if not path.exists() or not path.stat().st_size:
        _expect_nothing(path, mark)
        return None
    with _reading(path, reserve) as link:
        schema = journal.schema_of(link, path)
        if schema == 0:
            _expect_nothing(path, mark)
            return None
        if schema == journal.SCHEMA and found is None:
            raise _damaged(witness.path_of(path), f"is missing: {_UNSURE.format(path.name)}", path)
        (verdict,) = link.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            told = " ".join(str(verdict).split())
            raise _damaged(path, f"is damaged ({told}): some or all objects are lost", path)
        notes, rows = _content(link, schema, mark)
        history: list[Change] = []
        findings = audit(notes, _kept(rows, history), mark)
    _refuse(path, notes, findings, mark)
    return Inspection(schema, notes, findings, history)


def _expect_nothing(path: Path, mark: Mark) -> None:
    """Raises Corrupt when there should be something."""
    log_file = path.with_name(path.name + "-wal")
    if mark.revision or (log_file.exists() and log_file.stat().st_size):
        lost = f"all objects up to revision {mark.revision}" if mark.revision else "all objects"
        what = "is empty" if path.exists() else "is missing"
        raise _damaged(path, f"{what}, but there was a store here: {lost} are lost", path)


def _refuse(path: Path, notes: Notes, findings: Findings, mark: Mark) -> None:
    if notes.store != mark.store and mark.store:
        raise _damaged(path, f"is of another store than {witness.path_of(path).name}, whose objects are lost", path)
    beneath = journal.head_without_log(path)
    if beneath > findings.head:
        lost = f"revision {findings.head + 1} to {beneath} would be lost"
        raise _damaged(path.with_name(path.name + "-wal"), f"is older than {path.name}: {lost}", path)
    if findings.problems:
        raise _damaged(path, f"(with {path.name}-wal) is damaged: {'; '.join(findings.problems)}", path)


def _content(link: sqlite3.Connection, schema: int, mark: Mark) -> tuple[Notes, Iterator[Row]]:
    """What the file says of itself and its rows; a file of layout 1 gets the checksums that it will have."""
    notes = journal.notes_of(link)
    if schema == journal.SCHEMA:
        return notes, journal.rows(link)
    (rows,) = link.execute("SELECT count(*) FROM log").fetchone()
    newest = head = max(notes.newest, notes.compacted, journal.BEFORE_FIRST)
    chain = 0
    for row in with_sums(journal.plain_rows(link)):
        head = max(head, row.change.revision)
        chain = row.chain if row.change.revision <= newest else chain
    forgotten = head - journal.BEFORE_FIRST - rows
    store = mark.store or secrets.randbits(62)
    notes = replace(notes, store=store, newest=newest, chain=chain, forgotten_rows=forgotten)
    return notes, with_sums(journal.plain_rows(link))


def with_sums(changes: Iterable[Change]) -> Iterator[Row]:
    """The rows of changes that had no checksums."""
    chain = 0
    for change in changes:
        row = sealed(change, chain)
        chain = row.chain
        yield row


def _kept(rows: Iterator[Row], history: list[Change]) -> Iterator[Row]:
    for row in rows:
        history.append(row.change)
        yield row


@contextmanager
def _reading(path: Path, reserve: Reserve) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing, also when it is closed."""
    with leaving_nothing(path), closing(_connection(path, reserve)) as link:
        yield link


@contextmanager
def leaving_nothing(path: Path) -> Iterator[None]:
    """Take away what reading leaves: an index, and a log without content. Whoever writes makes his own."""
    log_file = path.with_name(path.name + "-wal")
    had_log = log_file.exists()
    try:
        yield
    finally:
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        if not had_log and log_file.exists() and not log_file.stat().st_size:
            log_file.unlink()


def _connection(path: Path, reserve: Reserve) -> sqlite3.Connection:
    """To read needs 32 KB for the log's index. The reserve has them on a full disk; when somebody else took those, too,
    what is left is to open for writing, which needs none.
    """
    try:
        return journal.connect(path, to_read=True)
    except sqlite3.OperationalError as error:
        log.warning("%s cannot be opened to read (%s): the room in reserve is given up", path, error)
        reserve.give_up()
    try:
        return journal.connect(path, to_read=True)
    except sqlite3.OperationalError:
        return journal.connect(path)


@contextmanager
def closing_witness(found: Witness | None) -> Iterator[Witness | None]:
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def _damaged(what: Path, problem: str, path: Path) -> Corrupt:
    return Corrupt(f"{what} {problem}; {REMEDY.format(path=path)}")
