"""Which rows a batch of writes becomes."""

from __future__ import annotations

from controlplane.store import Delete, Mismatch, Put
from controlplane.store.ledger import Ledger


def noted(ledger: Ledger, *writes: list[Put | Delete]) -> list[list[int] | Mismatch]:
    rows, outcomes = ledger.batch(writes, 0)
    for row in rows:
        ledger.note(row.change)
    return outcomes


def test_writes_see_the_ones_before_them_and_one_that_is_refused_leaves_nothing() -> None:
    ledger = Ledger()
    first, second, third, fourth = noted(
        ledger,
        [Put("a", b"1", 0), Put("b", b"1", 0)],
        [Put("b", b"2", 2), Put("c", b"1", 7)],
        [Put("b", b"3", 2)],
        [Delete("c", None)],
    )
    assert first == [1, 2] and third == [3]
    assert isinstance(second, Mismatch) and (second.key, second.current) == ("c", 0)
    assert isinstance(fourth, Mismatch)
    assert ledger.current() == [1, 3] and ledger.last == 3


def test_a_batch_is_in_the_ledger_once_it_is_noted() -> None:
    ledger = Ledger()
    rows, _ = ledger.batch([[Put("a", b"1")]], 0)
    assert ledger.last == 0 and ledger.current() == []
    assert ledger.batch([[Put("a", b"1")]], 0)[0] == rows


def test_an_object_keeps_when_it_was_made_until_it_is_removed() -> None:
    ledger = Ledger()
    noted(ledger, [Put("a", b"1")], [Put("a", b"2")], [Delete("a", None)])
    rows, _ = ledger.batch([[Put("a", b"3")], [Put("a", b"4")]], 0)
    assert [(row.change.revision, row.change.created) for row in rows] == [(4, 4), (5, 4)]
    # What was superseded, and the removals themselves, may go.
    assert ledger.obsolete(2) == [1] and ledger.obsolete(3) == [1, 2, 3]
    ledger.forget(2)
    assert ledger.obsolete(3) == [3]
