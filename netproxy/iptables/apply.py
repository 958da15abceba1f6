"""Writes plans by iptables-restore: only the chains that changed, all families and tables in turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from apimachinery.kit import command
from apimachinery.kit import netns as namespaces
from apimachinery.kit.iptables import Iptables, IptablesError, Snapshot
from netproxy import metrics
from netproxy.ground import Ground
from netproxy.iptables import base, diff
from netproxy.iptables import legacy as legacy_tables
from netproxy.iptables.base import KUBE, Layout
from netproxy.iptables.later import claims
from netproxy.iptables.plan import Key, Value
from netproxy.iptables.watch import LOOK_SECONDS, NO_DAMAGE, Damage, LegacyWatch, NftWatch
from netproxy.ledger import Ledger
from netproxy.model import Family, PortKey, Route

log = logging.getLogger(__name__)
_ROUTE_LOCALNET = "net.ipv4.conf.all.route_localnet"
_SETTLE_SECONDS = 0.05
"""what empties a firewall does so in several steps"""
_MANY_CHAINS = 200
_PORTION = 1600
"""Pieces of Services, most of them chains. At 5,000 Services of two endpoints half of the time that one text takes;
400 take as long, but at 1,000 Services a fifth longer: each portion costs a program, and the kernel's waiting."""
_PROGRAM = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


class IptablesMode:
    """See modes.Mode."""

    name = "iptables"
    min_sync_seconds = 0.05

    def __init__(
        self, grounds: tuple[Ground, ...], netns: Path | None = None, backend: str = "", layout: Layout = KUBE
    ) -> None:
        """`layout`: the chains that stand whatever Services there are."""
        self._grounds = {ground.family: ground for ground in grounds}
        self._layout = layout
        self._tools = {family: Iptables(_PROGRAM[family], backend, netns) for family in self._grounds}
        self._netns = netns
        self._ledgers: dict[Family, Ledger[Key, Value]] = {}
        self._turn = asyncio.Lock()
        self._watch: NftWatch | LegacyWatch | None = None
        # A repair must not fall between a plan and its commit.
        self._at_work = asyncio.Lock()
        self._damage = NO_DAMAGE
        self._doubted = asyncio.Event()
        self._portion = 0
        self._rules: dict[tuple[Family, str], int] = {}

    async def open(self) -> None:
        for tool in self._tools.values():
            tool.require()
        legacy = await next(iter(self._tools.values())).is_legacy()
        # The legacy back end writes the whole table anew for each text.
        self._portion = 0 if legacy else _PORTION
        kind = LegacyWatch if legacy else NftWatch
        try:
            self._watch = kind(self._grounds, self._netns, self._layout)
        except OSError as error:
            log.warning("changes by other programs will not be noticed: %s", error)

    async def prepare(self) -> None:
        """Raises IptablesError where the kernel has no such tables."""
        for family, tool in self._tools.items():
            if not await tool.has_chain("nat", "PREROUTING"):
                what = "modprobe iptable_nat, or nf_tables and nft_compat"
                raise IptablesError(f"{tool.program} cannot translate {family.title} on this kernel ({what})")

    async def in_force(self) -> bool:
        """Whether the kernel's own chains still lead to ours, where translation begins."""
        entrance = next(jump for jump in base.JUMPS if (jump.table, jump.chain) == ("nat", "PREROUTING"))
        found = [await tool.has_rule(entrance.table, entrance.chain, entrance.rule) for tool in self._tools.values()]
        return all(found)

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        async with self._at_work:
            await self._rebuild(routes)

    async def _rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        ledgers = {family: Ledger[Key, Value]() for family in self._grounds}
        for family, ground in self._grounds.items():
            tool, ledger = self._tools[family], ledgers[family]
            built_in = self._layout.built_in_chains
            seen = {table: await tool.snapshot(table, built_in) for table in self._layout.tables}
            if self._layout is KUBE and any(map(_is_anothers, seen.values())):
                log.warning("another kube-proxy's %s chains are here; they are taken over", family.title)
            missing = [jump for jump in self._layout.jumps if await self._is_missing(tool, jump, seen[jump.table])]
            present = {table: snapshot.chains for table, snapshot in seen.items()}
            mine = [(key, route) for key, route in routes.items() if key.family is family]
            written = await self._write_early(family, mine, ledger)
            await self._write(family, diff.rebuild(ledger.items(), ground, present, missing, self._layout, written))
            for table, fixed in self._layout.chains(ground).items():
                rules = sum(map(len, fixed.values())) + diff.rules(ledger.items(), table)
                self._count(family, table, rules, rules)
            if self._layout.route_localnet(ground):
                self._route_localnet()
        self._commit(ledgers)

    async def _write_early(
        self, family: Family, routes: Sequence[tuple[PortKey, Route]], ledger: Ledger[Key, Value]
    ) -> Collection[str]:
        """Claim all of the routes; the names of chains that have been written meanwhile."""
        written: set[str] = set()
        writing = asyncio.ensure_future(asyncio.sleep(0))
        try:
            for text in portions(ledger, routes, self._grounds[family], self._portion, written):
                await writing
                writing = asyncio.ensure_future(self._write(family, text))
                # It begins now: what follows holds the loop.
                await asyncio.sleep(0)
        finally:
            await writing
        return written

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        async with self._at_work:
            for family, ledger in self._ledgers.items():
                for key, route in routes.items():
                    if key.family is family:
                        ledger.claim(key, claims(route, self._grounds[family]) if route else ())
                delta = ledger.delta()
                text = diff.change(delta)
                if text:
                    await self._write(family, text)
                    for table in self._layout.tables:
                        came, went = (diff.rules(side.items(), table) for side in (delta.added, delta.removed))
                        self._count(family, table, self._rules[family, table] + came - went, came)
            self._commit(self._ledgers)

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        work = [self._listen(), self._decide(on_lost, on_mended)]
        if any(self._layout.route_localnet(ground) for ground in self._grounds.values()):
            work.append(self._keep_route_localnet())
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _write(self, family: Family, text: str) -> None:
        """A turn, so that what is told meanwhile can be known for our own."""
        async with self._turn:
            if self._watch:
                self._note(self._watch.before_write())
            try:
                await self._tools[family].restore(text)
            finally:
                if self._watch:
                    self._note(self._watch.after_write(text.count("\nCOMMIT\n")))

    def _count(self, family: Family, table: str, rules: int, written: int) -> None:
        self._rules[family, table] = rules
        metrics.IPTABLES_RULES.labels(table, family.title).set(rules)
        metrics.IPTABLES_LAST.labels(table, family.title).set(written)

    async def _listen(self) -> None:
        while self._watch:
            await self._watch.wait()
            async with self._turn:
                self._note(self._watch.before_write())

    def _note(self, damage: Damage) -> None:
        self._damage |= damage
        if damage:
            self._doubted.set()

    async def _decide(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        while True:
            await self._doubted.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._doubted.clear()
            async with self._at_work:
                damage, self._damage = self._damage, NO_DAMAGE
                try:
                    mended = await self._repair(damage) if self._ledgers else False
                except command.CommandError as error:
                    log.warning("chains cannot be mended one by one, all are written anew: %s", error)
                    mended = None
            if mended is None:
                on_lost()
            elif mended:
                on_mended()

    async def _repair(self, damage: Damage) -> bool | None:
        """Write what others broke, and no more: of thousands of chains all would take seconds.

        True when something was broken, None when everything has to be written.
        """
        unwritten = any(ledger.delta() for ledger in self._ledgers.values())
        if damage.everything or unwritten or len(damage.chains) > _MANY_CHAINS:
            log.warning("another program changed our iptables chains")
            return None
        found = False
        for family, tool in self._tools.items():
            pieces, ground, tables = list(self._ledgers[family].items()), self._grounds[family], self._layout.tables
            broken = {table: {c for f, t, c in damage.chains if (f, t) == (family, table)} for table in tables}
            if damage.look:
                present = {table: await tool.sizes(table) for table in tables}
                wanted = sum(len(value) for _, value in pieces)
                if wanted - sum(sum(sizes.values()) for sizes in present.values()) > _MANY_CHAINS:
                    log.warning("another program removed most of our %s rules", family.title)
                    return None
                for table, sizes in diff.sizes(pieces, ground, self._layout).items():
                    broken[table] |= {chain for chain, size in sizes.items() if present[table].get(chain) != size}
            doubted = [j for j in self._layout.jumps if damage.look or (family, j.table, j.chain) in damage.jumps]
            missing = [j for j in doubted if not await tool.has_rule(j.table, j.chain, j.rule)]
            if text := diff.repair(pieces, ground, broken, missing, self._layout):
                count = sum(map(len, broken.values()))
                what = f"{count} of our {family.title} chains and {len(missing)} of the jumps to them"
                log.warning("another program changed %s", what)
                await self._write(family, text)
                found = True
        return found

    async def _keep_route_localnet(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._ledgers:
                self._route_localnet()

    async def cleanup(self, patience: float = 0.0) -> None:
        for family, tool in self._tools.items():
            tool.require()
            await self._clean(family, tool)
        await self.tidy()
        self._ledgers = {}

    async def tidy(self) -> None:
        """The back end that is not in use may hold an earlier start's rules, which still catch packets."""
        for family, tool in self._tools.items():
            if await tool.is_legacy():
                await self._clean(family, Iptables(tool.program, "nft", self._netns))
            else:
                await asyncio.to_thread(legacy_tables.clean, self._grounds[family], self._netns, self._layout)

    async def _clean(self, family: Family, tool: Iptables) -> None:
        # Without our mark the chains, if any, are another kube-proxy's. It is asked for alone: all chains would be
        # megabytes, those of the mode that took over.
        marked = [await tool.has_chain(table, self._layout.owner) for table in self._layout.tables]
        if any(marked):
            present = {table: await tool.chains(table) for table in self._layout.tables}
            for jump in self._layout.jumps:
                await tool.remove(jump.table, jump.chain, jump.rule)
            await tool.restore(diff.remove_all(present, self._grounds[family], self._layout))

    def close(self) -> None:
        if self._watch:
            self._watch.close()
            self._watch = None

    async def _is_missing(self, tool: Iptables, jump: base.Jump, seen: Snapshot) -> bool:
        if jump.target not in seen.chains:
            return True
        # Programs of other versions may print the same rule differently, so their word counts.
        printed = f"-A {jump.chain} {jump.rule}"
        return printed not in seen.rules and not await tool.has_rule(jump.table, jump.chain, jump.rule)

    def _commit(self, ledgers: dict[Family, Ledger[Key, Value]]) -> None:
        for ledger in ledgers.values():
            ledger.commit()
        self._ledgers = ledgers

    def _route_localnet(self) -> None:
        try:
            if namespaces.read_sysctl(self._netns, _ROUTE_LOCALNET) != "1":
                namespaces.write_sysctl(self._netns, _ROUTE_LOCALNET, 1)
        except OSError as error:
            log.warning("cannot set %s (%s): node ports will not answer on 127.0.0.1", _ROUTE_LOCALNET, error)


def portions(
    ledger: Ledger[Key, Value],
    routes: Iterable[tuple[PortKey, Route]],
    ground: Ground,
    size: int,
    written: set[str],
) -> Iterator[str]:
    """Claim all of the routes; texts of `size` pieces or some more (0: none; the first of a quarter) of their chains,
    before the one that leads to them.

    The nft back end takes ever longer for each chain of a text. What is left, `rebuild` has to write; the names of all
    others come to `written`.
    """
    # The first one is small: until it is planned nothing is written.
    claimed, enough = 0, -(-size // 4)
    for key, route in routes:
        pieces = claims(route, ground)
        ledger.claim(key, pieces)
        claimed += len(pieces)
        if 0 < enough <= claimed:
            added, claimed, enough = ledger.delta().added, 0, size
            ledger.commit()
            # A rule of a chain that many share would lead packets here.
            if chains := [(key, value) for key, value in added.items() if key.table == "nat" and not key.rule]:
                written.update(key.chain for key, _ in chains)
                yield diff.early(chains, ground)
    if written:
        # What somebody else claims by now is not as it was written.
        written.difference_update(key.chain for key in ledger.delta().added)


def _is_anothers(seen: Snapshot) -> bool:
    return "KUBE-SERVICES" in seen.chains and KUBE.owner not in seen.chains
