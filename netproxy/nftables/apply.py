"""Writes the plans of Services into our nftables table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from apimachinery.kit.nft import NftError
from netproxy.ground import Ground
from netproxy.ledger import Delta, Ledger
from netproxy.model import Family, PortKey, Route
from netproxy.nftables import base
from netproxy.nftables.plan import Key, Value, plan
from netproxy.nftables.table import OwnTables

log = logging.getLogger(__name__)
_PORTION = 1000
"""Services of a new table that are worked out while as many are written: some 20 ms of each"""


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
        for family, ground in self._grounds.items():
            layout, ledger = base.layout(ground), ledgers[family]
            mine = [(key, route) for key, route in routes.items() if key.family is family]
            if present := await self._tables.present(layout):
                _claim(ledger, mine, ground)
                await self._tables.rebuild(layout, tuple(ledger.items()), present)
            else:
                await self._tables.build(layout, portions(ledger, mine, ground))
        self._commit(ledgers)

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        for family, ledger in self._ledgers.items():
            ground = self._grounds[family]
            _claim(ledger, [(key, route) for key, route in routes.items() if key.family is family], ground)
            await self._tables.change(base.layout(ground), ledger.delta())
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

    def _commit(self, ledgers: dict[Family, Ledger[Key, Value]]) -> None:
        for ledger in ledgers.values():
            ledger.commit()
        self._ledgers = ledgers


def _claim(ledger: Ledger[Key, Value], routes: Iterable[tuple[PortKey, Route | None]], ground: Ground) -> None:
    for key, route in routes:
        ledger.claim(key, plan(route, ground) if route else ())


def portions(
    ledger: Ledger[Key, Value], routes: Sequence[tuple[PortKey, Route]], ground: Ground, size: int = _PORTION
) -> Iterator[Delta[Key, Value]]:
    """What each `size` of the routes add to those before them."""
    for start in range(0, len(routes), size):
        _claim(ledger, routes[start : start + size], ground)
        yield ledger.delta()
        ledger.commit()
