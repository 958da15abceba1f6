"""The floors of `services`: what netproxy writes, given to the kernel by hand and by nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apimachinery.kit import netns
from apimachinery.kit.ipvs import Real, Target, Virtual
from apimachinery.kit.nft import Nft
from benchmarks.vips import GROUND, fresh_name, run
from netproxy.iptables import base as iptables_base
from netproxy.iptables import diff as iptables_diff
from netproxy.iptables.plan import plan as iptables_plan
from netproxy.ipvs import diff as ipvs_diff
from netproxy.ipvs.diff import Found, State, Steps
from netproxy.ipvs.host import Host
from netproxy.ipvs.options import Options
from netproxy.ipvs.plan import Key, Place, Server, Value
from netproxy.ipvs.plan import plan as ipvs_plan
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


async def floors(mode: str, one: Route, other: Route, rest: Iterable[Route], rounds: int) -> dict[str, list[float]]:
    """Milliseconds by what was done, in a namespace of their own: all of these routes but `other`, and `one` changed to
    it and back. Nothing where the mode gives nothing to the kernel."""
    if mode == "ipvs":
        return await _servers(one, other, rest, rounds)
    return await _texts(mode, texts(mode, one, other, rest), rounds) if mode in ("nftables", "iptables") else {}


async def _texts(mode: str, given: tuple[str, str, str], rounds: int) -> dict[str, list[float]]:
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


async def _servers(one: Route, other: Route, rest: Iterable[Route], rounds: int) -> dict[str, list[float]]:
    """Virtual servers, sets and addresses, all of it worked out before."""
    place = Place(Options().scheduler)
    pieces = dict(piece for route in (one, *rest) for piece in ipvs_plan(route, GROUND, place))
    everything = ipvs_diff.whole(pieces.items(), State({}, {}, frozenset()), ())
    first, *changes = exchanges(*(dict(ipvs_plan(route, GROUND, place)) for route in (one, other)))
    name = fresh_name() + "f"
    where = netns.create(name)
    host = Host((GROUND.family,), where, Options())
    try:
        # Where no address is anybody's, the kernel takes all for broadcast ones, and leads nobody there.
        run("nsenter", f"--net={where}", "ip", "link", "set", "lo", "up")
        await host.open()
        await host.prepare()
        began = time.perf_counter()
        await host.fill(everything)
        await host.serve(everything)
        full, took = (time.perf_counter() - began) * 1e3, []
        await host.serve(first)
        for index in range(rounds):
            began = time.perf_counter()
            await host.serve(changes[index % 2])
            took.append((time.perf_counter() - began) * 1e3)
    finally:
        host.close()
        netns.delete(name)
    return {"all servers, netlink and ipset": [full], "one change, netlink": took}


def exchanges(one: Mapping[Key, Value], other: Mapping[Key, Value]) -> tuple[Steps, Steps, Steps]:
    """To the other for the first time, back, and there again, of the virtual server both have: one endpoint gets the
    clients, the other's weight becomes 0."""
    ((virtual, before),) = ((key, value) for key, value in one.items() if isinstance(key, Virtual))
    after = other[virtual]
    assert isinstance(before, Server) and isinstance(after, Server)

    def exchange(come: Server, weights: Mapping[Target, int]) -> Steps:
        reals = {target: Real(weight) for target, weight in weights.items()}
        return Steps(serve=ipvs_diff.servers({virtual: come}, {virtual: Found(come.schedule, reals)})[0])

    old, new = before.targets[0], after.targets[0]
    first, back, again = {old: 1}, {old: 0, new: 1}, {old: 1, new: 0}
    return exchange(after, first), exchange(before, back), exchange(after, again)
