"""Writes plans by iptables-restore: only the chains that changed, all families and tables in turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from apimachinery.kit import netns as namespaces
from apimachinery.kit import nft_events
from apimachinery.kit.iptables import Iptables, Snapshot
from apimachinery.kit.tasks import is_set_within
from netproxy import names
from netproxy.ground import Ground
from netproxy.iptables import base, diff, legacy
from netproxy.iptables.plan import Key, Value, plan
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey, Route

log = logging.getLogger(__name__)
_ROUTE_LOCALNET = "net.ipv4.conf.all.route_localnet"
_CANARY_SECONDS = 30.0
_SETTLE_SECONDS = 0.1
_BUILT_IN_CHAINS = frozenset(jump.chain for jump in base.JUMPS)
_PROGRAM = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


class IptablesMode:
    """See modes.Mode."""

    name = "iptables"
    min_sync_seconds = 0.05

    def __init__(self, grounds: tuple[Ground, ...], netns: Path | None = None, backend: str = "") -> None:
        self._grounds = {ground.family: ground for ground in grounds}
        self._tools = {family: Iptables(_PROGRAM[family], backend, netns) for family in self._grounds}
        self._netns = netns
        self._ledgers: dict[Family, Ledger[Key, Value]] = {}

    async def open(self) -> None:
        for tool in self._tools.values():
            tool.require()

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        ledgers = {family: Ledger[Key, Value]() for family in self._grounds}
        self._claim(ledgers, routes)
        for family, ground in self._grounds.items():
            tool = self._tools[family]
            seen = {table: await tool.snapshot(table, _BUILT_IN_CHAINS) for table in base.TABLES}
            if any("KUBE-SERVICES" in s.chains and names.OWNER_CHAIN not in s.chains for s in seen.values()):
                log.warning("another kube-proxy's %s chains are here; they are taken over", family.title)
            missing = [jump for jump in base.JUMPS if await self._is_missing(tool, jump, seen[jump.table])]
            present = {table: snapshot.chains for table, snapshot in seen.items()}
            await tool.restore(diff.rebuild(ledgers[family].items(), ground, present, missing))
            if base.needs_route_localnet(ground):
                self._route_localnet()
        self._commit(ledgers)

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        self._claim(self._ledgers, routes)
        for family, ledger in self._ledgers.items():
            text = diff.change(ledger.delta())
            if text:
                await self._tools[family].restore(text)
        self._commit(self._ledgers)

    async def watch(self, on_lost: Callable[[], None]) -> None:
        """The nft back end notifies; the legacy one is looked at every half minute."""
        suspicion = asyncio.Event()
        listening = asyncio.ensure_future(self._listen(suspicion))
        try:
            while True:
                if await is_set_within(suspicion, _CANARY_SECONDS):
                    # What empties a firewall does so in several steps.
                    await asyncio.sleep(_SETTLE_SECONDS)
                suspicion.clear()
                if self._ledgers and not await self._intact():
                    log.warning("another program removed our iptables chains")
                    on_lost()
        finally:
            listening.cancel()

    async def _listen(self, suspicion: asyncio.Event) -> None:
        watched = {*_BUILT_IN_CHAINS, base.CANARY}
        try:
            events = nft_events.open_socket(self._netns)
        except OSError as error:
            log.info("no nftables notifications (%s): foreign changes are looked for every half minute", error)
            return
        async for transaction in nft_events.transactions(events):
            if transaction is None or any(chain in watched for _, _, chain in transaction.lost_chains):
                suspicion.set()

    async def cleanup(self) -> None:
        for family, tool in self._tools.items():
            await self._clean(family, tool)
        await self.tidy()
        self._ledgers = {}

    async def tidy(self) -> None:
        """The back end that is not in use may hold an earlier start's rules, which still catch packets."""
        for family, tool in self._tools.items():
            if await tool.is_legacy():
                await self._clean(family, Iptables(tool.program, "nft", self._netns))
            else:
                await asyncio.to_thread(legacy.clean, self._grounds[family], self._netns)

    async def _clean(self, family: Family, tool: Iptables) -> None:
        present = {table: await tool.chains(table) for table in base.TABLES}
        # Without our mark the chains, if any, are another kube-proxy's.
        if any(names.OWNER_CHAIN in chains for chains in present.values()):
            for jump in base.JUMPS:
                await tool.remove(jump.table, jump.chain, jump.rule)
            await tool.restore(diff.remove_all(present, self._grounds[family]))

    def close(self) -> None:
        """Nothing is held open."""

    async def _is_missing(self, tool: Iptables, jump: base.Jump, seen: Snapshot) -> bool:
        if jump.target not in seen.chains:
            return True
        # Programs of other versions may print the same rule differently, so their word counts.
        printed = f"-A {jump.chain} {jump.rule}"
        return printed not in seen.rules and not await tool.has_rule(jump.table, jump.chain, jump.rule)

    async def _intact(self) -> bool:
        for tool in self._tools.values():
            for table in base.TABLES:
                if not await tool.has_chain(table, base.CANARY):
                    return False
            for jump in base.JUMPS:
                if not await tool.has_rule(jump.table, jump.chain, jump.rule):
                    return False
        return True

    def _claim(self, ledgers: Mapping[Family, Ledger[Key, Value]], routes: Mapping[PortKey, Route | None]) -> None:
        for key, route in routes.items():
            if key.family in ledgers:
                pieces = plan(route, self._grounds[key.family]) if route else ()
                ledgers[key.family].claim(key, pieces)

    def _commit(self, ledgers: dict[Family, Ledger[Key, Value]]) -> None:
        for ledger in ledgers.values():
            ledger.commit()
        self._ledgers = ledgers

    def _route_localnet(self) -> None:
        try:
            namespaces.write_sysctl(self._netns, _ROUTE_LOCALNET, 1)
        except OSError as error:
            log.warning("cannot set %s (%s): node ports will not answer on 127.0.0.1", _ROUTE_LOCALNET, error)
