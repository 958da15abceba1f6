"""Writes the plans of Services into our nftables table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from apimachinery.kit.nft import NftError
from netproxy.ground import Ground
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey, Route
from netproxy.nftables import base
from netproxy.nftables.plan import Key, Value, plan
from netproxy.nftables.table import OwnTables

log = logging.getLogger(__name__)


class NftablesMode:
    """See modes.Mode."""

    name = "nftables"
    min_sync_seconds = 0.005

    def __init__(self, grounds: tuple[Ground, ...], netns: Path | None = None) -> None:
        self._grounds = {ground.family: ground for ground in grounds}
        self._ledgers: dict[Family, Ledger[Key, Value]] = {}
        self._tables = OwnTables(netns)

    async def open(self) -> None:
        await self._tables.open()
        try:
            await self._tables.run("".join(base.probe(ground) for ground in self._grounds.values()))
        except NftError as error:
            reason = next(iter(error.message.splitlines()), "")
            log.info("an older libnftables, random numbers go through the packet's priority: %s", reason)
            self._grounds = {f: replace(g, random_by_priority=True) for f, g in self._grounds.items()}

    async def prepare(self) -> None:
        """Its probe at the opening has shown that all is there."""

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        ledgers = {family: Ledger[Key, Value]() for family in self._grounds}
        self._claim(ledgers, routes)
        for family, ground in self._grounds.items():
            await self._tables.rebuild(base.layout(ground), tuple(ledgers[family].items()))
        self._commit(ledgers)

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        self._claim(self._ledgers, routes)
        for family, ledger in self._ledgers.items():
            await self._tables.change(base.layout(self._grounds[family]), ledger.delta())
        self._commit(self._ledgers)

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        await self._tables.watch({ground.nft_table for ground in self._grounds.values()}, on_lost)

    async def cleanup(self, patience: float = 0.0) -> None:
        await self._tables.remove(map(base.layout, self._grounds.values()))
        self._ledgers = {}

    async def tidy(self) -> None:
        """There has been only one way."""

    def close(self) -> None:
        self._tables.close()

    def _claim(self, ledgers: Mapping[Family, Ledger[Key, Value]], routes: Mapping[PortKey, Route | None]) -> None:
        for key, route in routes.items():
            if key.family in ledgers:
                pieces = plan(route, self._grounds[key.family]) if route else ()
                ledgers[key.family].claim(key, pieces)

    def _commit(self, ledgers: dict[Family, Ledger[Key, Value]]) -> None:
        for ledger in ledgers.values():
            ledger.commit()
        self._ledgers = ledgers
