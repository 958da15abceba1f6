"""While thousands of iptables chains are written, a flat nftables table of our own translates in their place.

A full write of iptables takes seconds from some thousand Services on, whoever makes it: iptables-restore alone needs
them. The same Services are a few maps in nftables, written in a tenth of the time. So when iptables' rules were lost,
or there are very many and never were any, the maps come first, then the chains, and the maps go when the chains stand.
Both translate alike and the kernel asks only until one has: for a moment in which both stand nothing differs. Hosts
without nftables wait for the chains.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from apimachinery.kit.nft import NftError
from netproxy import names
from netproxy.ground import Ground
from netproxy.iptables.apply import IptablesMode
from netproxy.model import PortKey, Route
from netproxy.nftables.apply import NftablesMode

log = logging.getLogger(__name__)
_MANY_LOST = 500
"""routes (a port of a Service in one family each): with fewer the chains are written nearly as soon as the maps"""
_MANY_NEW = 2000
"""routes where this process saw no rules go: mostly there never were any, and nothing flows that would wait. With
fewer, the chains stand in half a second"""


class StoodInFor:
    """iptables mode, with the stand-in. See modes.Mode."""

    name = IptablesMode.name
    min_sync_seconds = IptablesMode.min_sync_seconds

    def __init__(self, grounds: tuple[Ground, ...], netns: Path | None = None, backend: str = "") -> None:
        self._mode = IptablesMode(grounds, netns, backend)
        self._grounds = tuple(replace(ground, nft_table=names.stand_in_table(ground.nft_table)) for ground in grounds)
        self._netns = netns
        self._lost = False
        self._stands = False

    async def open(self) -> None:
        await self._mode.open()

    async def prepare(self) -> None:
        await self._mode.prepare()

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        many = len(routes) >= (_MANY_LOST if self._lost else _MANY_NEW)
        if many and (self._lost or not await self._mode.in_force()):
            await self._stand(routes)
        await self._mode.rebuild(routes)
        self._lost = False
        if self._stands:
            await self._remove()

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        await self._mode.change(routes)

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        def lost() -> None:
            self._lost = True
            on_lost()

        await self._mode.watch(lost, on_mended)

    async def cleanup(self, patience: float = 0.0) -> None:
        await self._mode.cleanup()
        await self._remove()

    async def tidy(self) -> None:
        await self._mode.tidy()
        # One that an earlier process left. To look for it at each write would wait until the kernel is done with that.
        await self._remove()

    def close(self) -> None:
        self._mode.close()

    async def _stand(self, routes: Mapping[PortKey, Route]) -> None:
        # What it remembers of its plan goes before the chains are planned, which take as much memory.
        stand_in = NftablesMode(self._grounds, self._netns)
        self._stands = True
        try:
            await stand_in.open()
            await stand_in.rebuild(routes)
        except (NftError, asyncio.TimeoutError) as error:
            reason = next(iter(str(error).splitlines()), "") or "no answer in time"
            log.info("Services wait until all their iptables chains are written: %s", reason)
        else:
            log.info("table %s serves until the iptables chains are written", self._grounds[0].nft_table)
        finally:
            stand_in.close()

    async def _remove(self) -> None:
        stand_in = NftablesMode(self._grounds, self._netns)
        try:
            await stand_in.cleanup()
            self._stands = False
        except (NftError, asyncio.TimeoutError) as error:
            log.debug("no stand-in to remove: %s", error)
        finally:
            stand_in.close()
