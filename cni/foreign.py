"""Who else changed rules of ours: told by the kernel, so that they are written again within a moment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection

from apimachinery.kit import nft_events
from apimachinery.kit.command import CommandError
from apimachinery.kit.iptables import Iptables
from apimachinery.kit.iptables_legacy import Fingerprint, LegacyTables
from apimachinery.kit.nft_events import Transaction

log = logging.getLogger(__name__)

# NFPROTO_INET, the family of a table for both IP versions; iptables' tables have one each.
INET, _IPV4, _IPV6 = 1, 2, 10
_BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
# Of all plugins' chains in iptables, by contract.
_PREFIX = "CNI-"
# Seconds between two looks at what nothing tells of.
LOOK_SECONDS = 0.5


async def changes(table: str, owner: Callable[[], str]) -> AsyncIterator[None]:
    """Yields for each transaction of another program in the inet table; runs for ever, or ends where the kernel tells
    nothing. `owner` gives the name our own transactions bear at that time, "" for none.
    """
    try:
        listener = nft_events.Listener(tables=(table,))
    except OSError as problem:
        log.warning("no nftables notifications (%s): a foreign change of %s stays", problem, table)
        return
    with contextlib.closing(listener):
        async for transaction in listener.transactions():
            if transaction is None or ((INET, table) in transaction.touched_tables and transaction.owner != owner()):
                yield


async def changes_of_iptables(tables: Collection[str]) -> AsyncIterator[None]:
    """Yields when plugins' chains in these tables of iptables, or the ways into them, may have changed; by whom is not
    known: our own changes are told, too. What comes together is told once. Runs for ever where anything can be told.
    """
    try:
        legacy = await asyncio.to_thread(Iptables().is_legacy_blocking)
    except CommandError as problem:
        log.warning("iptables cannot be used (%s): a foreign change of its chains stays", problem)
        return
    async for _ in _looked_at(tables) if legacy else _told(tables):
        yield


async def _told(tables: Collection[str]) -> AsyncIterator[None]:
    try:
        listener = nft_events.Listener(tables=tuple(tables))
    except OSError as problem:
        log.warning("no nftables notifications (%s): a foreign change of iptables' chains stays", problem)
        return
    with contextlib.closing(listener):
        while True:
            await listener.wait()
            if any([concerns(told, tables) for told in listener.drain()]):
                yield


def concerns(told: Transaction | None, tables: Collection[str]) -> bool:
    """Whether a transaction may have taken something of a plugin's; None: nobody knows. Pure."""
    if told is None:
        return True
    families = (_IPV4, _IPV6)
    touched = any(f in families and t in tables and c.startswith(_PREFIX) for f, t, c in told.touched_chains)
    lost = any(f in families and t in tables and c in _BUILT_IN for f, t, c in told.lost_chains)
    return touched or lost or any(f in families and t in tables for f, t in told.deleted_tables)


async def _looked_at(tables: Collection[str]) -> AsyncIterator[None]:
    """The legacy kind tells nobody anything: a system call for each table, twice a second."""
    prints = _prints()
    try:
        seen = _look(prints, tables)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = _look(prints, tables)
            if now != seen:
                # What is written because of it will be told as well: whoever changed something meanwhile is not missed.
                seen = now
                yield
    finally:
        for one in prints.values():
            one.close()


def _prints() -> dict[bool, Fingerprint]:
    """By whether they are of IPv6, which a kernel may lack."""
    found = {}
    for ipv6 in (False, True):
        with contextlib.suppress(OSError):
            found[ipv6] = Fingerprint(ipv6)
    return found


def _look(prints: dict[bool, Fingerprint], tables: Collection[str]) -> dict[tuple[bool, str], bytes]:
    """To ask for a table that is not there would make it."""
    found = {}
    for ipv6, one in prints.items():
        for table in set(tables) & set(LegacyTables(ipv6).names()):
            with contextlib.suppress(OSError):
                found[ipv6, table] = one.read(table)
    return found
