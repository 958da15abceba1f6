"""Nftables notifications, from bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from apimachinery.kit.nft_events import EventReader

_INET = 2


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def message(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(attribute(k, d) for k, d in attributes)
    return struct.pack("=IHHIIBBH", 20 + len(body), 0xA00 | kind, 0, 0, 0, _INET, 0, 0) + body


NEW_GENERATION = message(15, (1, b"\0\0\0\7"), (3, b"nft\0"))


def test_a_transaction_ends_with_its_generation_and_may_span_datagrams() -> None:
    reader = EventReader()
    assert list(reader.feed(message(8, (1, b"wherry\0"), (2, b"services\0")))) == []
    (seen,) = reader.feed(message(2, (1, b"wherry\0")) + NEW_GENERATION)
    assert seen.owner == "nft"
    assert seen.deleted_tables == {(_INET, "wherry")}
    assert seen.touched_tables == {(_INET, "wherry")}
    assert seen.lost_chains == {(_INET, "wherry", "services")}
    (nothing,) = reader.feed(NEW_GENERATION)
    assert not nothing.touched_tables


def test_additions_touch_but_are_no_loss_and_broken_input_ends_quietly() -> None:
    reader = EventReader()
    added = message(0, (1, b"t\0")) + message(6, (1, b"t\0"), (2, b"c\0")) + message(12, (1, b"t\0"))
    (seen,) = reader.feed(added + NEW_GENERATION)
    assert seen.touched_chains == {(_INET, "t", "c")}
    assert not seen.lost_chains and not seen.deleted_tables
    assert list(reader.feed(b"\0" * 64)) == []
    assert list(reader.feed(b"abc")) == []


@pytest.mark.parametrize("kind", [k for k in range(25) if k not in (15, 16)])
def test_whatever_is_done_to_a_table_touches_it_and_others_are_left_unread(kind: int) -> None:
    reader = EventReader(("mine",))
    (other,) = reader.feed(message(kind, (1, b"theirs\0")) + NEW_GENERATION)
    assert not other.touched_tables
    (seen,) = reader.feed(message(kind, (1, b"mine\0")) + NEW_GENERATION)
    assert seen.touched_tables == {(_INET, "mine")}


def test_what_a_task_did_itself_is_left_unread_and_a_strangers_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    note, noted = EventReader._note, list[int]()

    def counted(reader: EventReader, kind: int, *rest: Any) -> None:
        noted.append(kind)
        note(reader, kind, *rest)

    monkeypatch.setattr(EventReader, "_note", counted)
    reader = EventReader(("mine",), own="me")
    mine, theirs = (message(15, (1, b"\0\0\0\7"), (3, name)) for name in (b"me\0", b"nft\0"))
    change, loss = message(12, (1, b"mine\0")), message(8, (1, b"mine\0"), (2, b"services\0"))
    assert list(reader.feed(change * 3)) == []
    # The end of one transaction and the beginning of the next, and a whole one, in one datagram.
    first, second = reader.feed(change + mine + change + loss + theirs + loss)
    assert (first.owner, first.touched_tables) == ("me", set())
    assert (second.owner, second.lost_chains) == ("nft", {(_INET, "mine", "services")})
    assert noted == [12, 8]
    (third,) = reader.feed(mine)
    assert third.owner == "me" and not third.lost_chains and noted == [12, 8]
    (last,) = reader.feed(loss + theirs)
    assert last.lost_chains and noted == [12, 8, 8]
