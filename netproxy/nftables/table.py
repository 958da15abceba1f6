"""Tables of ours in the kernel: written in transactions, and watched, for a stranger may change them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from apimachinery.kit import nft_events
from apimachinery.kit.nft import Nft, NftError
from apimachinery.kit.nft_events import Transaction
from netproxy.ledger import Delta
from netproxy.nftables import diff
from netproxy.nftables.layout import NUMBERS, Layout, ip_word
from netproxy.nftables.plan import Key, Piece, Value

log = logging.getLogger(__name__)
_OWN_FLOOD_SECONDS = 5.0
"""notifications dropped this soon after a rebuild are taken for the rebuild's own"""


class OwnTables:
    """One applier's tables. Every call but `watch` raises NftError, and asyncio.TimeoutError after its deadline;
    `remove` alone needs no `open`."""

    def __init__(self, netns: Path | None = None) -> None:
        self._netns = netns
        self._nft = Nft(netns)
        self._rebuilt = 0.0
        self._stand: set[tuple[int, str]] = set()

    async def open(self) -> None:
        """Make the kernel's nftables ready for use."""
        await self._nft.open()

    async def run(self, text: str) -> None:
        """One transaction of the caller's own."""
        await self._nft.run(text)

    async def present(self, layout: Layout) -> frozenset[str]:
        """The chains, sets and maps under the table's name; empty where no packet comes to any."""
        return await self._nft.names(ip_word(layout.family), layout.name)

    async def build(self, layout: Layout, portions: Iterable[Delta[Key, Value]]) -> None:
        """The whole table where nothing is present: while one portion is written, the next is worked out."""
        await self._nft.run(diff.bare(layout))
        writing = asyncio.ensure_future(asyncio.sleep(0))
        try:
            for delta in portions:
                await writing
                writing = asyncio.ensure_future(self._fill(layout, delta))
                # It begins now: what follows holds the loop.
                await asyncio.sleep(0)
        finally:
            await writing
        for text in diff.hooked(layout):
            await self._nft.run(text)
        self._written(layout)

    async def _fill(self, layout: Layout, delta: Delta[Key, Value]) -> None:
        texts, elements = diff.filling(delta, layout)
        for text in texts:
            await self._nft.run(text)
        await self._nft.add(elements)

    async def rebuild(self, layout: Layout, pieces: Sequence[Piece], present: Collection[str]) -> None:
        """The whole table, in place when what is present is ours already."""
        try:
            for text in diff.rebuild(pieces, layout, present):
                await self._nft.run(text)
        except NftError as error:
            if not present:
                raise
            log.warning("table %s cannot be rewritten in place and is made anew: %s", layout.name, error.message)
            for text in diff.anew(pieces, layout):
                await self._nft.run(text)
        self._written(layout)

    async def change(self, layout: Layout, delta: Delta[Key, Value]) -> None:
        """Only what differs."""
        if requests := diff.exchange(delta, layout):
            await self._nft.change(requests)
            return
        for text in diff.change(delta, layout):
            await self._nft.run(text)

    async def remove(self, layouts: Iterable[Layout]) -> None:
        """Take the tables away, whether they exist or not."""
        tables = [(NUMBERS[layout.family], layout.name) for layout in layouts]
        self._stand.difference_update(tables)
        await self._nft.remove(tables)

    async def watch(self, names: Iterable[str], on_lost: Callable[[], None]) -> None:
        """Call `on_lost` whenever somebody else changed a table of ours that stands; runs for ever."""
        # Tens of thousands of elements of our own would be told as we write, and each change once more.
        listener = nft_events.Listener(self._netns, set(names), (self._nft.owner,), self._nft.port)
        self._nft.at_once = listener.passes_over_own
        with contextlib.closing(listener):
            async for transaction in listener.transactions():
                if self._lost(transaction):
                    log.warning("another program changed our table")
                    on_lost()

    def close(self) -> None:
        """Give up the handle; tables stay."""
        self._nft.close()

    def _written(self, layout: Layout) -> None:
        self._rebuilt = time.monotonic()
        self._stand.add((NUMBERS[layout.family], layout.name))

    def _lost(self, transaction: Transaction | None) -> bool:
        if transaction is None:
            return bool(self._stand) and time.monotonic() - self._rebuilt > _OWN_FLOOD_SECONDS
        return transaction.owner != self._nft.owner and not self._stand.isdisjoint(transaction.touched_tables)
