"""Who changed our chains: judged from nftables' notifications, or, for the legacy back end, by looking.

Our own programs' transactions are told like those of others and carry the same name. So a write is a turn: what was
told before it is others' doing, what is told during it is ours unless there is more of it than we wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import nft_events
from apimachinery.kit.iptables_legacy import Fingerprint
from apimachinery.kit.nft_events import Transaction
from netproxy.ground import Ground
from netproxy.iptables.base import KUBE, Layout
from netproxy.model import Family

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
"""between two looks at what nothing tells of"""
_FAMILY_NUMBER = {Family.IPV4: 2, Family.IPV6: 10}
# As the kernel cuts the program's name; iptables-restore is a link to it on hosts whose choice it is.
_OWN_NAMES = frozenset({"iptables-restor", "ip6tables-resto", "iptables-nft-re", "ip6tables-nft-r"})


Chain = tuple[Family, str, str]
"""(family, table, name)"""


@dataclass(frozen=True)
class Damage:
    """What others changed, or may have."""

    chains: frozenset[Chain] = frozenset()
    """chains of ours that are not as they were"""
    jumps: frozenset[Chain] = frozenset()
    """the kernel's own chains that lost a rule: perhaps a jump of ours"""
    look: bool = False
    """nobody told what it was: the kernel must be asked"""
    everything: bool = False

    def __or__(self, other: Damage) -> Damage:
        return Damage(
            self.chains | other.chains,
            self.jumps | other.jumps,
            self.look or other.look,
            self.everything or other.everything,
        )

    def __bool__(self) -> bool:
        return bool(self.chains or self.jumps) or self.look or self.everything


NO_DAMAGE, UNKNOWN = Damage(), Damage(look=True)


def judge(transaction: Transaction | None, grounds: Mapping[Family, Ground], layout: Layout = KUBE) -> Damage:
    """What somebody else's transaction did to our chains; None: it is not known. Pure."""
    if transaction is None:
        return UNKNOWN
    damage = NO_DAMAGE
    built_in = layout.built_in_chains
    for family, ground in grounds.items():
        number = _FAMILY_NUMBER[family]
        ours = frozenset(
            (family, table, chain)
            for kind, table, chain in transaction.touched_chains
            if kind == number and table in layout.tables and layout.is_ours(table, chain, ground)
        )
        jumps = frozenset(
            (family, table, chain)
            for kind, table, chain in transaction.lost_chains
            if kind == number and table in layout.tables and chain in built_in
        )
        gone = any((number, table) in transaction.deleted_tables for table in layout.tables)
        damage |= Damage(ours, jumps, everything=gone)
    return damage


def foreign(told: Iterable[Transaction | None], written: int) -> list[Transaction | None]:
    """Of what was told during a write of `written` transactions, what others may have done. Pure."""
    everything = list(told)
    others = [t for t in everything if t is None or t.owner not in _OWN_NAMES]
    return others if len(everything) - len(others) <= written else everything


class NftWatch:
    """The nft back end: told at once, at no cost while nothing changes."""

    def __init__(self, grounds: Mapping[Family, Ground], netns: Path | None, layout: Layout = KUBE) -> None:
        """Raises OSError where the kernel has no nftables."""
        self._grounds = grounds
        self._layout = layout
        self._listener = nft_events.Listener(netns, layout.tables, later=_OWN_NAMES)

    def before_write(self) -> Damage:
        """What others did before our write."""
        return self._all(self._listener.drain())

    def after_write(self, written: int) -> Damage:
        """What others did during our write of that many transactions."""
        return self._all(foreign(self._listener.drain(), written))

    async def wait(self) -> None:
        """Return when there is something to judge."""
        await self._listener.wait()

    def _all(self, told: Iterable[Transaction | None]) -> Damage:
        # Thousands of our own rules have gone unread until here, where they are others' or may be.
        every = (judge(one.read() if one else None, self._grounds, self._layout) for one in told)
        return functools.reduce(operator.or_, every, NO_DAMAGE)

    def close(self) -> None:
        self._listener.close()


class LegacyWatch:
    """The legacy back end tells nobody anything: a system call for each table, twice a second."""

    def __init__(self, grounds: Mapping[Family, Ground], netns: Path | None, layout: Layout = KUBE) -> None:
        self._tables = layout.tables
        self._prints = {family: Fingerprint(family is Family.IPV6, netns) for family in grounds}
        self._seen: dict[tuple[Family, str], bytes] = {}

    def before_write(self) -> Damage:
        """What others did since our last write."""
        now = self._look()
        changed = bool(self._seen) and now != self._seen
        self._seen = now
        return UNKNOWN if changed else NO_DAMAGE

    def after_write(self, written: int) -> Damage:
        """Nothing tells apart what others did meanwhile, but the tables' lock leaves them little room for it."""
        self._seen = self._look()
        return NO_DAMAGE

    async def wait(self) -> None:
        """Return when there may be something to judge."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._seen and self._look() != self._seen:
                return

    def _look(self) -> dict[tuple[Family, str], bytes]:
        found = {}
        for family, fingerprint in self._prints.items():
            for table in self._tables:
                with contextlib.suppress(OSError):
                    found[family, table] = fingerprint.read(table)
        return found

    def close(self) -> None:
        for fingerprint in self._prints.values():
            fingerprint.close()
