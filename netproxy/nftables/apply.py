"""Writes plans into our nftables table: one transaction a sync, both families in it."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from apimachinery.kit.nft import Nft
from apimachinery.kit.nft_events import EventReader, Transaction
from netproxy.ground import Ground
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey, Route
from netproxy.names import NFT_TABLE
from netproxy.nftables import diff
from netproxy.nftables.plan import Key, Value, plan

log = logging.getLogger(__name__)
_OWN_FLOOD_SECONDS = 5.0
"""notifications dropped this soon after a rebuild are taken for the rebuild's own"""
_FAMILY_NUMBER = {Family.IPV4: 2, Family.IPV6: 10}


class NftablesMode:
    """See modes.Mode."""

    name = "nftables"
    min_sync_seconds = 0.005

    def __init__(self, grounds: tuple[Ground, ...], netns: Path | None = None) -> None:
        self._grounds = {ground.family: ground for ground in grounds}
        self._ledgers: dict[Family, Ledger[Key, Value]] = {}
        self._nft = Nft(netns)
        self._rebuilt = 0.0

    async def open(self) -> None:
        await self._nft.open()

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        ledgers = {family: Ledger[Key, Value]() for family in self._grounds}
        self._claim(ledgers, routes)
        texts = [diff.rebuild(ledgers[f].items(), ground) for f, ground in self._grounds.items()]
        await self._nft.run("".join(texts))
        self._rebuilt = time.monotonic()
        self._commit(ledgers)

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        self._claim(self._ledgers, routes)
        text = "".join(diff.change(ledger.delta(), family) for family, ledger in self._ledgers.items())
        if text:
            await self._nft.run(text)
        self._commit(self._ledgers)

    async def watch(self, on_lost: Callable[[], None]) -> None:
        events = await self._nft.subscribe()
        reader = EventReader()
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(events.fileno(), readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                if any([self._lost(t) for t in _received(events, reader)]):
                    log.warning("another program removed rules of table %s", NFT_TABLE)
                    on_lost()
        finally:
            loop.remove_reader(events.fileno())
            events.close()

    async def cleanup(self) -> None:
        await self._nft.run("".join(diff.remove_table(family) for family in self._grounds))
        self._ledgers = {}

    def close(self) -> None:
        self._nft.close()

    def _claim(self, ledgers: Mapping[Family, Ledger[Key, Value]], routes: Mapping[PortKey, Route | None]) -> None:
        for key, route in routes.items():
            if key.family in ledgers:
                pieces = plan(route, self._grounds[key.family]) if route else ()
                ledgers[key.family].claim(key, pieces)

    def _commit(self, ledgers: dict[Family, Ledger[Key, Value]]) -> None:
        for ledger in ledgers.values():
            ledger.commit()
        self._ledgers = ledgers

    def _lost(self, transaction: Transaction) -> bool:
        if transaction is _DROPPED:
            return time.monotonic() - self._rebuilt > _OWN_FLOOD_SECONDS
        ours = {(_FAMILY_NUMBER[family], NFT_TABLE) for family in self._ledgers}
        return transaction.owner != self._nft.owner and not ours.isdisjoint(transaction.lost_tables)


_DROPPED = Transaction()


def _received(events: socket.socket, reader: EventReader) -> Iterator[Transaction]:
    while True:
        try:
            data = events.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            # The kernel dropped notifications (ENOBUFS): too much changed at once. By whom is not known any
            # more.
            reader.reset()
            yield _DROPPED
            continue
        yield from reader.feed(data)
