"""The floors of `services`: the rules netproxy writes, given to the kernel by hand and by nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from apimachinery.kit import netns
from apimachinery.kit.nft import Nft
from benchmarks.vips import GROUND, fresh_name, run
from netproxy.iptables import base as iptables_base
from netproxy.iptables import diff as iptables_diff
from netproxy.iptables.plan import plan as iptables_plan
from netproxy.ledger import Ledger
from netproxy.model import Route
from netproxy.nftables import base as nft_base
from netproxy.nftables import diff as nft_diff
from netproxy.nftables.plan import plan as nft_plan


def texts(mode: str, one: Route, other: Route, rest: Iterable[Route]) -> tuple[str, str, str]:
    """All rules in full, and the change from `one` to `other` and back, as the proxy writes them."""
    ledger: Ledger[Any, Any] = Ledger()
    plan: Any = nft_plan if mode == "nftables" else iptables_plan
    for made in (one, *rest):
        ledger.claim(made.port.key, plan(made, GROUND))
    rebuild = (
        "".join(nft_diff.anew(ledger.items(), nft_base.layout(GROUND)))
        if mode == "nftables"
        else iptables_diff.rebuild(ledger.items(), GROUND, {}, iptables_base.JUMPS)
    )
    changes = []
    for made in (other, one):
        ledger.commit()
        ledger.claim(made.port.key, plan(made, GROUND))
        delta = ledger.delta()
        if mode == "nftables":
            changes.append("".join(nft_diff.change(delta, nft_base.layout(GROUND))))
        else:
            changes.append(iptables_diff.change(delta))
    return rebuild, changes[0], changes[1]


async def floors(mode: str, given: tuple[str, str, str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds by what was done, in a namespace of their own."""
    full, there, back = given
    name = fresh_name() + "f"
    where = netns.create(name)
    enter = ("nsenter", f"--net={where}")
    argv = (*enter, "nft", "-f", "-") if mode == "nftables" else (*enter, "iptables-restore", "--noflush")
    tool = "nft -f" if mode == "nftables" else "iptables-restore"
    try:
        results = {f"all rules, {tool}": [run(*argv, text=full)]}
        results[f"one change, {tool}"] = [run(*argv, text=(there, back)[i % 2]) for i in range(rounds)]
        if mode == "nftables":
            results["one change, libnftables"] = await _in_process(where, (there, back), rounds)
        return results
    finally:
        netns.delete(name)


async def _in_process(where: Path, changes: Sequence[str], rounds: int) -> list[float]:
    nft = Nft(where)
    await nft.open()
    took = []
    try:
        for index in range(rounds):
            began = time.perf_counter()
            await asyncio.wait_for(nft.run(changes[index % 2]), 60)
            took.append((time.perf_counter() - began) * 1e3)
    finally:
        nft.close()
    # The first run reads the kernel's tables in; a proxy that runs has done so long ago.
    return took[2:] or took
