"""What stays when somebody flushes all rules: a table of our own that the kernel lets nobody else touch.

An nftables table with an owner is passed over by `nft flush ruleset`, belongs to the socket that made it, and goes with
that socket (Linux 5.12). It holds no Service, but two things for the moment until our rules stand again:

* a chain of type nat. The kernel translates the packets of known connections only while some such chain exists: without
  it an answer would reach its client from an address the client never spoke to, which resets the connection.
* the refusal to let a new connection leave that no rule has translated. Its packet is lost before the connection
  tracker remembers it, so the client's next attempt, a second later, is translated like any other; let through, it
  would be answered by a stranger or not at all, and remembered as not translated. That is asked in a chain of type nat
  as well: it costs connections under way nothing.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from apimachinery.kit.nft import Nft, NftError
from netproxy import names
from netproxy.ground import Ground
from netproxy.nftables.layout import ip_word, within

log = logging.getLogger(__name__)
_FIRST = -150
"""Before anybody gives the packet another source, after which no chain of type nat is asked any more. Filter chains,
which refuse what has no endpoints, all come before such chains of this hook."""


def table(ground: Ground) -> str:
    """The guard's table beside the mode's own (whose name tells several proxies on a host apart)."""
    return f"{ip_word(ground.family)} {names.guard_table(ground.nft_table)}"


def ruleset(ground: Ground) -> str:
    """One transaction that makes the table. Pure."""
    lines = [f"table {table(ground)} {{", "  flags owner;", "  chain nat { type nat hook prerouting priority 200; }"]
    if services := within(ground.family, "daddr", ground.service_cidrs):
        rules = (f"ct state new {match} ct status & dnat == 0 fib daddr type != local drop;" for match in services)
        lines.append(f"  chain leaving {{ type nat hook postrouting priority {_FIRST}; {' '.join(rules)} }}")
    return "\n".join([*lines, "}", ""])


class Guard:
    """Stands from `open` until `close`, or until the process ends."""

    def __init__(self, grounds: tuple[Ground, ...], netns: Path | None = None) -> None:
        self._grounds = grounds
        self._nft = Nft(netns)

    async def open(self) -> None:
        """Without support by kernel or library there is no guard, and the log says so."""
        try:
            await self._nft.open()
            for ground in self._grounds:
                await self._nft.run(ruleset(ground))
        except (NftError, asyncio.TimeoutError) as error:
            reason = next(iter(str(error).splitlines()), "") or "no answer in time"
            log.info("no guard against a flush of all rules (Linux 5.12 and libnftables 0.9.9 have it): %s", reason)

    def close(self) -> None:
        """Give the tables up."""
        self._nft.close()
