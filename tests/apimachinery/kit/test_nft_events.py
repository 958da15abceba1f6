"""Nftables notifications, from bytes."""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import netns, nft
from apimachinery.kit.netlink import elements
from apimachinery.kit.nft_events import EventReader, Listener, Transaction

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


def test_what_some_tasks_did_is_left_unread_until_asked_for_and_a_strangers_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note, noted = Transaction._note, list[int]()

    def counted(transaction: Transaction, kind: int, *rest: Any) -> None:
        noted.append(kind)
        note(transaction, kind, *rest)

    monkeypatch.setattr(Transaction, "_note", counted)
    reader = EventReader(("mine",), later=("me",))
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
    assert third.read().lost_chains == {(_INET, "mine", "services")} and noted == [12, 8, 8, 8]
    assert first.read().read().touched_tables == {(_INET, "mine")} and noted == [12, 8, 8, 8, 12, 12, 12, 12]


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_went_through_ones_own_socket_is_never_told_and_all_else_is() -> None:
    where = netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}e")
    service = (elements.ADDRESS[4], elements.PROTOCOL, elements.port)

    async def main() -> list[tuple[bool, set[tuple[int, str]]]]:
        mine, other = nft.Nft(where), nft.Nft(where)
        try:
            await mine.open()
            await other.open()
            listener = Listener(where, ("mine",), (mine.owner,), mine.port)
            others = Listener(where, ("mine",), (other.owner,), other.port)
            await mine.run(
                "add table ip mine; add map ip mine services { type ipv4_addr . inet_proto . inet_service : verdict; }"
            )
            for ip in range(1, 200):
                pairs = [(f"10.96.0.{ip} . tcp . 80", "drop")]
                await mine.change(list(elements.add(2, "mine", "services", service, (), pairs)))
            gone = ["10.96.0.1 . tcp . 80"]
            await other.change(list(elements.remove(2, "mine", "services", service, gone)))
            told = [t for t in listener.drain() if t]
            assert sum(bool(t and t.touched_tables) for t in others.drain()) == 200, "the other hears all of it"
            listener.close()
            others.close()
            return [(t.owner == mine.owner, t.touched_tables) for t in told]
        finally:
            mine.close()
            other.close()

    try:
        # Its text, which goes through a socket of libnftables', and then the other's.
        assert asyncio.run(main()) == [(True, set()), (False, {(2, "mine")})]
    finally:
        netns.delete(where.name)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_small_changes_are_written_where_they_are_asked_for_unless_that_would_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = netns.create(f"wht{os.getpid():x}{secrets.token_hex(2)}d")
    caller = Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip()
    nodes = ((f"192.0.2.{number}", "") for number in range(1, 10))
    monkeypatch.setattr(nft, "_LONG", 60.0)

    async def main() -> None:
        mine = nft.Nft(where)
        listener = Listener(where, ("mine",))

        async def by_whom() -> set[str]:
            await mine.change(list(elements.add(2, "mine", "nodes", (elements.ADDRESS[4],), (), [next(nodes)])))
            return {t.owner for t in listener.drain() if t and t.touched_tables}

        async def idle() -> None:
            # It tells what a call gave before it is done with it.
            while not mine._worker.idle:
                await asyncio.sleep(0.001)

        try:
            await mine.open()
            await mine.run("add table ip mine; add set ip mine nodes { type ipv4_addr; }")
            list(listener.drain())
            await idle()
            assert await by_whom() == {mine.owner}
            mine.at_once = True
            await idle()
            assert await by_whom() == {caller}
            held = threading.Event()
            busy = asyncio.ensure_future(mine._worker.call(30, held.wait, 30))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.02, held.set)
            assert await by_whom() == {mine.owner}, "its own thread was in the middle of something"
            assert await busy
            await idle()
            monkeypatch.setattr(nft, "_LONG", -1.0)
            assert await by_whom() == {caller}
            assert await by_whom() == {mine.owner}, "the last one waited for somebody"
        finally:
            listener.close()
            mine.close()

    try:
        asyncio.run(main())
    finally:
        netns.delete(where.name)
