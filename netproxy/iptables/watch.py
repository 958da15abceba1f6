"""Who changed our chains: judged from nftables' notifications, or, for the legacy back end, by looking.

Our own programs' transactions are told like those of others and carry the same name. So a write is a turn: what was
told before it is others' doing, what is told during it is ours unless there is more of it than we wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path

from apimachinery.kit import nft_events
from apimachinery.kit.iptables_legacy import Fingerprint
from apimachinery.kit.nft_events import Transaction
from netproxy.ground import Ground
from netproxy.iptables import base
from netproxy.model import Family

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
"""between two looks at what nothing tells of"""
_FAMILY_NUMBER = {Family.IPV4: 2, Family.IPV6: 10}
BUILT_IN_CHAINS = frozenset(jump.chain for jump in base.JUMPS)
# As the kernel cuts the program's name; iptables-restore is a link to it on hosts whose choice it is.
_OWN_NAMES = frozenset({"iptables-restor", "ip6tables-resto", "iptables-nft-re", "ip6tables-nft-r"})


class Damage(IntEnum):
    """How much is in doubt."""

    NONE = 0
    PERHAPS = 1
    """a look at the kernel decides"""
    CERTAIN = 2


def judge(transaction: Transaction | None, grounds: Mapping[Family, Ground]) -> Damage:
    """What somebody else's transaction did to our chains; None: it is not known. Pure."""
    if transaction is None:
        return Damage.PERHAPS
    damage = Damage.NONE
    for family, ground in grounds.items():
        number = _FAMILY_NUMBER[family]
        if any((number, table) in transaction.deleted_tables for table in base.TABLES):
            return Damage.CERTAIN
        for kind, table, chain in transaction.touched_chains:
            if kind == number and table in base.TABLES and base.is_ours(table, chain, ground):
                return Damage.CERTAIN
        if any(kind == number and chain in BUILT_IN_CHAINS for kind, _, chain in transaction.lost_chains):
            damage = Damage.PERHAPS
    return damage


def foreign(told: Iterable[Transaction | None], written: int) -> list[Transaction | None]:
    """Of what was told during a write of `written` transactions, what others may have done. Pure."""
    everything = list(told)
    others = [t for t in everything if t is None or t.owner not in _OWN_NAMES]
    return others if len(everything) - len(others) <= written else everything


class NftWatch:
    """The nft back end: told at once, at no cost while nothing changes."""

    def __init__(self, grounds: Mapping[Family, Ground], netns: Path | None) -> None:
        """Raises OSError where the kernel has no nftables."""
        self._grounds = grounds
        self._listener = nft_events.Listener(netns, base.TABLES)

    def before_write(self) -> Damage:
        """What others did before our write."""
        return self._worst(self._listener.drain())

    def after_write(self, written: int) -> Damage:
        """What others did during our write of that many transactions."""
        return self._worst(foreign(self._listener.drain(), written))

    async def wait(self) -> None:
        """Return when there is something to judge."""
        await self._listener.wait()

    def _worst(self, told: Iterable[Transaction | None]) -> Damage:
        return max((judge(transaction, self._grounds) for transaction in told), default=Damage.NONE)

    def close(self) -> None:
        self._listener.close()


class LegacyWatch:
    """The legacy back end tells nobody anything: a system call for each table, twice a second."""

    def __init__(self, grounds: Mapping[Family, Ground], netns: Path | None) -> None:
        self._prints = {family: Fingerprint(family is Family.IPV6, netns) for family in grounds}
        self._seen: dict[tuple[Family, str], bytes] = {}

    def before_write(self) -> Damage:
        """What others did since our last write."""
        now = self._look()
        changed = bool(self._seen) and now != self._seen
        self._seen = now
        return Damage.PERHAPS if changed else Damage.NONE

    def after_write(self, written: int) -> Damage:
        """Nothing tells apart what others did meanwhile, but the tables' lock leaves them little room for it."""
        self._seen = self._look()
        return Damage.NONE

    async def wait(self) -> None:
        """Return when there may be something to judge."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._seen and self._look() != self._seen:
                return

    def _look(self) -> dict[tuple[Family, str], bytes]:
        found = {}
        for family, fingerprint in self._prints.items():
            for table in base.TABLES:
                with contextlib.suppress(OSError):
                    found[family, table] = fingerprint.read(table)
        return found

    def close(self) -> None:
        for fingerprint in self._prints.values():
            fingerprint.close()
