"""Writes the plans of Services into IPVS, the device, the sets and the few rules; and looks after them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from apimachinery.kit import ipvs
from apimachinery.kit.ipvs import Virtual
from apimachinery.kit.netlink import events
from apimachinery.kit.netlink.events import Group
from netproxy.ground import Ground
from netproxy.iptables.apply import IptablesMode
from netproxy.ipvs import diff, rules
from netproxy.ipvs.diff import State, Steps
from netproxy.ipvs.host import Fingerprint, Host
from netproxy.ipvs.options import Options
from netproxy.ipvs.plan import Bound, Key, Place, Server, Value, plan
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey, Route

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.4
"""between two looks at what nothing tells of: servers, sets, settings"""
_LOOK_SHARE = 20
"""of the time goes into looking at most one part in so many"""
_LEAVE_SECONDS = 5.0
"""between two looks whether those who leave still have connections"""
_SETTLE_SECONDS = 0.05


class IpvsMode:
    """See modes.Mode."""

    name = "ipvs"
    min_sync_seconds = 0.02

    def __init__(
        self,
        grounds: tuple[Ground, ...],
        netns: Path | None = None,
        backend: str = "",
        options: Options = Options(),  # noqa: B008
    ) -> None:
        self._grounds = {ground.family: ground for ground in grounds}
        self._options = options
        self._netns = netns
        self._chains = IptablesMode(grounds, netns, backend, rules.LAYOUT)
        self._host = Host(self._grounds, netns, options)
        self._ledgers: dict[Family, Ledger[Key, Value]] = {}
        self._places: dict[Family, Place] = {}
        self._leaving: frozenset[Virtual] = frozenset()
        # A look must not fall between a write and its commit.
        self._at_work = asyncio.Lock()
        self._as_written: Fingerprint | None = None
        """None while what is written is in doubt"""
        self._touched: set[Virtual] = set()
        """virtual servers written since the table of it was read"""

    async def open(self) -> None:
        await self._host.open()
        await self._chains.open()

    async def prepare(self) -> None:
        await self._host.prepare()
        await self._chains.prepare()

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        async with self._at_work:
            self._as_written = None
            await self._host.prepare()
            _, node = await asyncio.to_thread(self._host.addresses)
            self._places = {
                family: Place(self._options.scheduler, frozenset(ip for ip in node if (":" in ip) == (family == 6)))
                for family in self._grounds
            }
            ledgers = {family: Ledger[Key, Value]() for family in self._grounds}
            self._claim(ledgers, routes)
            pieces = (piece for ledger in ledgers.values() for piece in ledger.items())
            steps = diff.whole(pieces, await self._host.read(), self._options.exclude_cidrs)
            await self._host.fill(steps)
            await self._chains.rebuild({})
            await self._host.serve(steps)
            self._leaving = steps.leaving
            await self._commit(ledgers)

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        async with self._at_work:
            before, self._as_written = self._as_written, None
            if before and before.rest != await asyncio.to_thread(self._host.small_parts):
                # What others did since the last look is not to be taken for ours: the next one finds it.
                before = before._replace(rest=None)
            self._claim(self._ledgers, routes)
            for ledger in self._ledgers.values():
                delta = ledger.delta()
                if delta:
                    touched = {key for key in (*delta.added, *delta.removed) if isinstance(key, Virtual)}
                    found = await asyncio.to_thread(self._host.servers, touched)
                    steps = diff.steps(delta.added, delta.removed, found)
                    await self._carry_out(steps)
                    self._leaving = self._leaving - touched | steps.leaving
                    self._touched |= touched
            await self._commit(self._ledgers, before)

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        work = (
            self._chains.watch(on_lost, on_mended),
            self._look(on_lost),
            self._listen(on_lost),
            self._see_off(),
        )
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def cleanup(self, patience: float = 0.0) -> None:
        """Virtual servers in excluded ranges stay; where the device is not ours, everything."""
        async with self._at_work:
            self._ledgers, self._as_written = {}, None
            await self._host.open()
            state = await self._seen_off(patience) if await asyncio.to_thread(self._host.is_ours) else None
            await self._chains.cleanup()
            if state:
                await self._host.serve(diff.whole((), state, self._options.exclude_cidrs))
                await self._host.remove()

    async def _seen_off(self, patience: float) -> State:
        """What the kernel has when nobody speaks by our virtual servers any more, or after `patience` seconds."""
        deadline = time.monotonic() + patience
        while diff.is_busy(state := await self._host.read(), self._options.exclude_cidrs):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return state

    async def tidy(self) -> None:
        await self._chains.tidy()

    def close(self) -> None:
        self._chains.close()
        self._host.close()

    async def _carry_out(self, steps: Steps) -> None:
        await self._host.fill(steps)
        await self._host.serve(steps)

    async def _look(self, on_lost: Callable[[], None]) -> None:
        """Nothing tells of changes to servers and sets."""
        pause = _LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            async with self._at_work:
                if self._as_written is None:
                    continue
                began = time.monotonic()
                now = await asyncio.to_thread(self._host.fingerprint)
                changed = not await asyncio.to_thread(self._is_ours, self._as_written, now)
                pause = max(_LOOK_SECONDS, _LOOK_SHARE * (time.monotonic() - began))
                self._as_written = None if changed else now
                self._touched.clear()
            if changed:
                log.warning("another program changed our virtual servers, sets or kernel settings")
                on_lost()

    def _is_ours(self, before: Fingerprint, now: Fingerprint) -> bool:
        """Whether all that differs is what we wrote, and is as it was written. Runs through every Service, and so in a
        thread."""
        if now.rest != before.rest:
            return False
        if not self._touched:
            return now.table == before.table
        servers = self._servers()
        wanted = {virtual: servers.get(virtual) for virtual in self._touched}
        table, as_read = (ipvs.without(one.table, wanted) for one in (before, now))
        return as_read == table and diff.stand(wanted, self._host.servers(wanted))

    async def _listen(self, on_lost: Callable[[], None]) -> None:
        """Addresses: those of the device may be lost, those of others may be new homes of node ports."""
        groups = (Group.LINK, Group.IPV4_ADDRESS, Group.IPV6_ADDRESS)
        with contextlib.closing(events.subscribe(0, groups, self._netns)) as told:
            while True:
                await events.readable(told)
                await asyncio.sleep(_SETTLE_SECONDS)
                async with self._at_work:
                    events.discard(told)
                    if not self._ledgers:
                        continue
                    ours, others = await asyncio.to_thread(self._host.addresses)
                    changed = ours != self._bound() or others != self._node_addresses()
                if changed:
                    log.warning("addresses of this host changed")
                    on_lost()

    async def _see_off(self) -> None:
        """Real servers that leave go when their last connection has ended."""
        while True:
            await asyncio.sleep(_LEAVE_SECONDS)
            if not self._leaving:
                continue
            async with self._at_work:
                servers = {v: s for v, s in self._servers().items() if v in self._leaving}
                found = await asyncio.to_thread(self._host.servers, servers)
                commands, self._leaving = diff.servers(servers, found)
                if commands:
                    await self._host.serve(Steps(serve=commands))
                    self._touched.update(servers)

    def _servers(self) -> dict[Virtual, Server | None]:
        pieces = (piece for ledger in self._ledgers.values() for piece in ledger.items())
        return {key: value for key, value in pieces if isinstance(key, Virtual) and isinstance(value, Server)}

    def _bound(self) -> frozenset[str]:
        pieces = (key for ledger in self._ledgers.values() for key, _ in ledger.items())
        return frozenset(key.address for key in pieces if isinstance(key, Bound))

    def _node_addresses(self) -> frozenset[str]:
        return frozenset().union(*(place.node_addresses for place in self._places.values()))

    def _claim(self, ledgers: Mapping[Family, Ledger[Key, Value]], routes: Mapping[PortKey, Route | None]) -> None:
        for key, route in routes.items():
            if key.family in ledgers:
                pieces = plan(route, self._grounds[key.family], self._places[key.family]) if route else ()
                ledgers[key.family].claim(key, pieces)

    async def _commit(self, ledgers: dict[Family, Ledger[Key, Value]], before: Fingerprint | None = None) -> None:
        """`before`: what was seen before a change. Its table stays, for to read it costs as much for one virtual server
        as for all: 5,000 of them some 20 ms. The next look makes up for it."""
        for ledger in ledgers.values():
            ledger.commit()
        self._ledgers = ledgers
        if before is None:
            self._as_written = await asyncio.to_thread(self._host.fingerprint)
            self._touched.clear()
        elif before.rest is None:
            self._as_written = before
        else:
            self._as_written = before._replace(rest=await asyncio.to_thread(self._host.small_parts))
