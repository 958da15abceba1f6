"""Who else changed a table of ours: told by the kernel, so that it is written again within a moment."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from apimachinery.kit import nft_events

log = logging.getLogger(__name__)

# NFPROTO_INET, the family of a table for both IP versions
_INET = 1


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
            if transaction is None or ((_INET, table) in transaction.touched_tables and transaction.owner != owner()):
                yield
