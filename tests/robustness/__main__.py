"""Writers, watchers and readers against real API servers that are killed, stopped, restarted, cut off, and left without
their store or room on the disk, and whether what they saw can be what one store that loses nothing would have shown.

    python -m tests.robustness [--store sqlite|etcd] [--servers 3] [--members 3] [--faults 20] [--only kill,stop]

Ends with status 1 when anything was violated. `--plant` brings a fault on purpose, which must be found.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import click

from apimachinery.kit import loops, tasks
from benchmarks import api, figures
from tests.robustness.checker import violations
from tests.robustness.clients import Clients, Servers
from tests.robustness.hurts import HURTS, Hurt, missing
from tests.robustness.server import PLANTS
from tests.robustness.world import Shape, World, world
from tests.waiting import until

START_SECONDS = 180.0
_BETWEEN = 100
"""Answers between two faults, however slow the machine is."""


@dataclass
class Run:
    """What was done and what came of it. silences: by what was done, seconds in which nobody was answered. deaths: what
    clients ended of that none may end of, which would leave nobody to be answered.
    """

    clients: Clients
    silences: dict[str, list[float]] = field(default_factory=dict)
    failed: str = ""
    deaths: list[str] = field(default_factory=list)

    def violations(self, smooth: bool) -> list[str]:
        """smooth: no request may have failed."""
        refused = sorted(self.clients.refused.items())
        failures = [f"{count} requests failed: {what}" for what, count in refused] if smooth else []
        mine = [*([self.failed] if self.failed else []), *self.deaths, *failures]
        return [*mine, *violations(self.clients.history)]


async def answering(clients: Clients, urls: list[str], folder: Path) -> None:
    """Until every server lists."""
    for url in urls:
        servers = Servers([url], api.client_context(folder), 0)
        await until(partial(clients.list, servers), START_SECONDS, f"{url} answers")
        await servers.close()


async def run(shape: Shape, chosen: list[str], faults: int, seed: int, folder: Path | None) -> Run:
    """One run; tells as it goes."""
    with tempfile.TemporaryDirectory(prefix="wht", dir=folder) as directory:
        async with world(Path(directory), shape, seed) as there:
            clients = Clients(there.urls, api.client_context(Path(directory)), 12, random.Random(seed))
            result = Run(clients)
            if shape.disks:
                # On a full disk no history is kept.
                clients.history.kept = 0.0
            own = [server.url for server in there.servers]
            reviving = asyncio.ensure_future(there.supervise())
            try:
                await answering(clients, own, Path(directory))
            except AssertionError as error:
                result.failed = f"{error}\n{there.last_words()}"
                await tasks.end([reviving], START_SECONDS)
                return result
            clients.forget()
            writing = [asyncio.ensure_future(clients.writer(n)) for n in range(9)]
            writing += [asyncio.ensure_future(clients.lister(n)) for n in range(2)]
            watching = [asyncio.ensure_future(clients.watcher(n)) for n in range(4)]
            watching.append(asyncio.ensure_future(clients.watcher(4, away=10.0)))
            try:
                for number in range(faults):
                    await _hurt(there, result, chosen, f"{number + 1} of {faults}")
                await asyncio.sleep(2.0)
                clients.stop.set()
                await asyncio.wait(writing, timeout=START_SECONDS)
                await answering(clients, own, Path(directory))
                await settled(clients)
            except AssertionError as error:
                result.failed = there.refusal or f"{error}\n{there.last_words()}"
                if not there.refusal:
                    # What is being written just now belongs to the history, too.
                    clients.stop.set()
                    await asyncio.wait(writing, timeout=START_SECONDS)
                    await settled(clients)
            finally:
                clients.stop.set()
                result.deaths = deaths([*watching, *writing])
                await tasks.end([*watching, *writing, reviving], START_SECONDS)
    return result


def deaths(clients: Iterable[asyncio.Future[None]]) -> list[str]:
    """What some have ended of."""
    ends = [client.exception() for client in clients if client.done() and not client.cancelled()]
    return [f"a client ended: {end!r}" for end in ends if end is not None]


async def _hurt(there: World, result: Run, chosen: list[str], count: str) -> None:
    clients = result.clients
    await asyncio.sleep(there.rng.uniform(0.1, 0.9))
    await more(there, clients, _BETWEEN)
    what, begun = there.rng.choice(chosen), clients.now()
    await HURTS[what].do(there)
    silent = await silence(there, clients, begun)
    result.silences.setdefault(what, []).append(silent)
    click.echo(f"{count}: {what}, nobody was answered for {silent:.2f} s", err=True)


async def silence(there: World, clients: Clients, begun: float) -> float:
    """Until somebody is answered again; the longest time since begun in which nobody was."""
    await more(there, clients, 5)
    late = [begun, *(at for at in clients.answered if at > begun)]
    # What was before is not needed again.
    clients.answered[:] = late[-1:]
    return max((after - before for before, after in itertools.pairwise(late)), default=0.0)


async def more(there: World, clients: Clients, count: int) -> None:
    """Until so many more requests were answered; AssertionError where that takes too long, or never comes."""
    seen = len(clients.answered)
    await until(lambda: there.refusal or len(clients.answered) > seen + count, START_SECONDS, "somebody is answered")
    if there.refusal:
        raise AssertionError(there.refusal)


async def settled(clients: Clients) -> None:
    """Until every watch knows the last list, or twenty seconds are over: a fault then, which the checker finds."""
    last = clients.history.lists[-1].revision
    for _ in range(400):
        if all(watch.expired or watch.last >= last for watch in clients.history.watches):
            return
        await asyncio.sleep(0.05)


def tell(result: Run) -> None:
    clients, found = result.clients, result.clients.history
    outcomes: dict[str, int] = {}
    for write in found.writes:
        outcomes[write.outcome.value] = outcomes.get(write.outcome.value, 0) + 1
    events = sum(len(watch.events) for watch in found.watches)
    click.echo(f"writes    {outcomes}, reads {len(found.reads)}, lists {len(found.lists)}, errors {clients.refused}")
    click.echo(f"watches   {len(found.watches)}, told of {events} changes")
    for what, seconds in sorted(result.silences.items()):
        p50, p99 = (figures.percentile(seconds, part) for part in (0.5, 0.99))
        click.echo(
            f"{what:<15} {len(seconds):>5} times, then nobody was answered for {p50:.2f} s (p50), {p99:.2f} s (p99)"
        )


def chosen(only: str, store: str) -> list[str]:
    """What is to be done: what was asked for, or all that can be here. Raises click.UsageError."""
    if not only:
        return [name for name, hurt in HURTS.items() if not missing(hurt, store)]
    names = only.split(",")
    for name in names:
        if name not in HURTS:
            raise click.UsageError(f"--only {name}: there are {', '.join(HURTS)}")
        if why := missing(HURTS[name], store):
            raise click.UsageError(f"--only {name}: {why}")
    return names


def shaped(store: str, servers: int | None, members: int, hurts: list[Hurt], smooth: bool, plant: str) -> Shape:
    """The world for what is to be done. Raises click.UsageError."""
    count = servers or (3 if store == "etcd" else 1)
    if store == "sqlite" and count > 1:
        raise click.UsageError("several servers need --store etcd")
    needs = {need for hurt in hurts for need in hurt.needs}
    return Shape(store, count, members, "wires" in needs, "disks" in needs, "clocks" in needs, smooth, plant)


@click.command()
@click.option("--store", type=click.Choice(("sqlite", "etcd")), default="sqlite", show_default=True)
@click.option("--servers", type=click.IntRange(1, 5), default=None, help="API servers.  [default: 1, on etcd 3]")
@click.option("--members", type=click.IntRange(1, 5), default=3, show_default=True, help="Members of etcd.")
@click.option("--faults", type=click.IntRange(0, 100_000), default=20, show_default=True)
@click.option("--only", default="", metavar="NAMES", help=f"Of {', '.join(HURTS)}.  [default: all that can be here]")
@click.option("--smooth", is_flag=True, help="One address for all servers, which are restarted; no request may fail.")
@click.option("--forked", is_flag=True, help="Fork the servers of one that has imported, as a lab does.")
@click.option("--plant", type=click.Choice(tuple(PLANTS)), default=None, help="A fault that must be found.")
@click.option("--seed", type=int, default=None)
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="On the disk where all is to lie.")
def main(
    store: str,
    servers: int | None,
    members: int,
    faults: int,
    only: str,
    smooth: bool,
    forked: bool,
    plant: str | None,
    seed: int | None,
    folder: Path | None,
) -> None:
    """Hurt API servers and their store while clients work, and check what these saw."""
    seed = random.randrange(1 << 30) if seed is None else seed
    names = ["restart"] if smooth else chosen(only, store)
    shape = shaped(store, servers, members, [HURTS[name] for name in names], smooth, plant or "")
    shape = replace(shape, forked=forked)
    click.echo(f"{store}, {shape.servers} servers, seed {seed}: {', '.join(names)}")
    began = time.monotonic()
    result = loops.run(run(shape, names, faults, seed, folder))
    tell(result)
    found = result.violations(smooth)
    for fault in found:
        click.echo(f"VIOLATED  {fault}")
    click.echo(f"{len(found)} violations in {time.monotonic() - began:.0f} s")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
