"""Writes plans into our nftables table: one transaction a sync, both families in it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from apimachinery.kit import nft_events
from apimachinery.kit.nft import Nft, NftError
from apimachinery.kit.nft_events import Transaction
from netproxy.ground import Ground
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey, Route
from netproxy.nftables import base, diff
from netproxy.nftables.plan import Key, Value, ip_word, plan

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
        self._netns = netns
        self._nft = Nft(netns)
        self._rebuilt = 0.0

    async def open(self) -> None:
        await self._nft.open()
        try:
            await self._nft.run("".join(base.probe(ground) for ground in self._grounds.values()))
        except NftError as error:
            reason = next(iter(error.message.splitlines()), "")
            log.info("an older libnftables, random numbers go through the packet's priority: %s", reason)
            self._grounds = {f: replace(g, random_by_priority=True) for f, g in self._grounds.items()}

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        ledgers = {family: Ledger[Key, Value]() for family in self._grounds}
        self._claim(ledgers, routes)
        for family, ground in self._grounds.items():
            present = await self._nft.names(ip_word(family), ground.nft_table)
            try:
                for text in diff.rebuild(ledgers[family].items(), ground, present):
                    await self._nft.run(text)
            except NftError as error:
                if not present:
                    raise
                log.warning(
                    "table %s cannot be rewritten in place and is made anew: %s", ground.nft_table, error.message
                )
                for text in diff.anew(ledgers[family].items(), ground):
                    await self._nft.run(text)
        self._rebuilt = time.monotonic()
        self._commit(ledgers)

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        self._claim(self._ledgers, routes)
        for family, ledger in self._ledgers.items():
            for text in diff.change(ledger.delta(), self._grounds[family]):
                await self._nft.run(text)
        self._commit(self._ledgers)

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        tables = {ground.nft_table for ground in self._grounds.values()}
        with contextlib.closing(nft_events.Listener(self._netns, tables)) as listener:
            async for transaction in listener.transactions():
                if self._lost(transaction):
                    log.warning("another program changed our table")
                    on_lost()

    async def cleanup(self) -> None:
        await self._nft.run("".join(diff.remove_table(ground) for ground in self._grounds.values()))
        self._ledgers = {}

    async def tidy(self) -> None:
        """There has been only one way."""

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

    def _lost(self, transaction: Transaction | None) -> bool:
        if transaction is None:
            return time.monotonic() - self._rebuilt > _OWN_FLOOD_SECONDS
        ours = {(_FAMILY_NUMBER[f], g.nft_table) for f, g in self._grounds.items() if f in self._ledgers}
        return transaction.owner != self._nft.owner and not ours.isdisjoint(transaction.touched_tables)
