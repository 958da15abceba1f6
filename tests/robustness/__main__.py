"""Writers, watchers and readers against real API servers that are killed, stopped and left without their store, and
whether what they saw can be what one store that loses nothing would have shown.

    python -m tests.robustness [--store sqlite|etcd] [--servers 3] [--members 3] [--faults 20] [--seed N]

Ends with status 1 when anything was violated. `--plant` brings a fault on purpose, which must be found.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import uvloop
import yaml

from benchmarks import api, figures
from tests import etcds
from tests.robustness.checker import violations
from tests.robustness.clients import Clients, Servers
from tests.robustness.server import FAULTS
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
_BETWEEN = 100
"""Answers between two faults, however slow the machine is."""


class Server:
    """One API server's process."""

    def __init__(self, config: Path, port: int, fault: str) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self._argv = [sys.executable, "-m", "tests.robustness.server", str(config), *([fault] if fault else [])]
        self.log = config.with_suffix(".log")
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*self._argv, stdout=log, stderr=log, cwd=ROOT)

    async def signal(self, number: int) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        if number == signal.SIGKILL:
            await self.process.wait()

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await self.signal(signal.SIGCONT)
            await self.signal(signal.SIGKILL)


class World:
    """Servers and their store; hurt() does something to one of them and heals it again."""

    def __init__(self, servers: list[Server], etcd: etcds.Etcd | None, rng: random.Random) -> None:
        self.servers, self.etcd, self.rng = servers, etcd, rng

    def last_words(self) -> str:
        """The end of each server's log."""
        return "\n".join(server.log.read_text(errors="replace")[-600:] for server in self.servers)

    async def hurt(self) -> str:
        server = self.rng.choice(self.servers)
        member = self.rng.choice(self.etcd.members) if self.etcd is not None else None
        what = self.rng.choice(("kill", "stop", *(("kill member", "stop member") if member else ())))
        if what == "kill":
            await server.signal(signal.SIGKILL)
            await server.start()
        elif what == "stop":
            await server.signal(signal.SIGSTOP)
            await asyncio.sleep(self.rng.uniform(0.2, 3.0))
            await server.signal(signal.SIGCONT)
        elif member is not None:
            member.signal(signal.SIGKILL if what == "kill member" else signal.SIGSTOP)
            await asyncio.sleep(self.rng.uniform(0.1, 4.0))
            member.start() if what == "kill member" else member.signal(signal.SIGCONT)
        return what


@asynccontextmanager
async def world(folder: Path, store: str, servers: int, members: int, fault: str, seed: int) -> AsyncIterator[World]:
    """Everything on loopback, below a folder."""
    with ExitStack() as stack:
        etcd = stack.enter_context(etcds.running(etcds.any_program(), folder, members)) if store == "etcd" else None
        made = []
        ports = etcds.free_ports(servers)
        base: dict[str, Any] = yaml.safe_load(api.settings(folder, 0).read_text())
        for number, port in enumerate(ports):
            config = folder / f"server{number}.yaml"
            given: dict[str, Any] = {
                "port": port,
                "data_dir": str(folder / f"data{number}"),
                "advertise_address": f"192.0.2.{number + 1}",
            }
            more = {"store": "etcd", "etcd_servers": list(etcd.urls)} if etcd is not None else {}
            config.write_text(yaml.safe_dump({**base, **given, **more}))
            made.append(Server(config, port, fault))
        try:
            for server in made:
                await server.start()
            yield World(made, etcd, random.Random(seed))
        finally:
            for server in made:
                await server.end()


async def answering(clients: Clients, urls: list[str], folder: Path) -> None:
    """Until every server lists."""
    for url in urls:
        servers = Servers([url], api.client_context(folder), 0)
        await until(partial(clients.list, servers), START_SECONDS, f"{url} answers")
        await servers.close()


async def run(store: str, servers: int, members: int, faults: int, fault: str, seed: int) -> list[str]:
    """One run; tells what it did and gives what was violated."""
    with tempfile.TemporaryDirectory(prefix="wht") as directory:
        folder = Path(directory)
        async with world(folder, store, servers, members, fault, seed) as there:
            urls = [server.url for server in there.servers]
            clients = Clients(urls, api.client_context(folder), 12, random.Random(seed))
            await answering(clients, urls, folder)
            clients.answered.clear()
            writing = [asyncio.ensure_future(clients.writer(n)) for n in range(9)]
            writing += [asyncio.ensure_future(clients.lister(n)) for n in range(2)]
            watching = [asyncio.ensure_future(clients.watcher(n)) for n in range(4)]
            done: dict[str, int] = {}
            downtimes = []
            failed = ""
            try:
                for _ in range(faults):
                    await asyncio.sleep(there.rng.uniform(0.3, 1.5))
                    await more(clients, _BETWEEN)
                    what = await there.hurt()
                    done[what] = done.get(what, 0) + 1
                    downtimes.append(await silence(clients))
                    told = f"{len(downtimes)} of {faults}: {what}, nobody was answered for {downtimes[-1]:.2f} s"
                    click.echo(told, err=True)
                await asyncio.sleep(2.0)
                clients.stop.set()
                await asyncio.wait(writing, timeout=START_SECONDS)
                await answering(clients, urls, folder)
                await settled(clients)
            except AssertionError as error:
                failed = str(error)
            for task in (*watching, *writing):
                task.cancel()
            await asyncio.gather(*watching, *writing, return_exceptions=True)
            failed = failed and f"{failed}\n{there.last_words()}"
    tell(clients, done, downtimes)
    return [*([failed] if failed else []), *violations(clients.history)]


async def silence(clients: Clients) -> float:
    """Until somebody is answered again; the longest time that nobody was, of late."""
    await more(clients, 5)
    late = clients.answered[-200:]
    return max((after - before for before, after in itertools.pairwise(late)), default=0.0)


async def more(clients: Clients, count: int) -> None:
    """Until so many more requests were answered; AssertionError where that takes too long."""
    seen = len(clients.answered)
    await until(lambda: len(clients.answered) > seen + count, START_SECONDS, "somebody is answered")


async def settled(clients: Clients) -> None:
    """Until every watch knows the last list, or ten seconds are over: then it is a fault, which the checker finds."""
    last = clients.history.lists[-1].revision
    for _ in range(200):
        if all(watch.last >= last for watch in clients.history.watches[-4:]):
            return
        await asyncio.sleep(0.05)


def tell(clients: Clients, done: dict[str, int], downtimes: list[float]) -> None:
    found = clients.history
    outcomes: dict[str, int] = {}
    for write in found.writes:
        outcomes[write.outcome.value] = outcomes.get(write.outcome.value, 0) + 1
    events = sum(len(watch.events) for watch in found.watches)
    click.echo(f"faults    {done}")
    click.echo(f"writes    {outcomes}, reads {len(found.reads)}, lists {len(found.lists)}, errors {clients.refused}")
    click.echo(f"watches   {len(found.watches)}, told of {events} changes")
    if downtimes:
        p50, p99 = (figures.percentile(downtimes, part) for part in (0.5, 0.99))
        click.echo(f"silence   p50 {p50:.2f} s, p99 {p99:.2f} s after a fault")


@click.command()
@click.option("--store", type=click.Choice(("sqlite", "etcd")), default="sqlite", show_default=True)
@click.option("--servers", type=click.IntRange(1, 5), default=None, help="API servers.  [default: 1, on etcd 3]")
@click.option("--members", type=click.IntRange(1, 5), default=3, show_default=True, help="Members of etcd.")
@click.option("--faults", type=click.IntRange(0, 100_000), default=20, show_default=True)
@click.option("--plant", type=click.Choice(tuple(FAULTS)), default=None, help="A fault that must be found.")
@click.option("--seed", type=int, default=None)
def main(store: str, servers: int | None, members: int, faults: int, plant: str | None, seed: int | None) -> None:
    """Hurt API servers and their store while clients work, and check what these saw."""
    chosen = random.randrange(1 << 30) if seed is None else seed
    count = servers or (3 if store == "etcd" else 1)
    if store == "sqlite" and count > 1:
        raise click.UsageError("several servers need --store etcd")
    click.echo(f"{store}, {count} servers, seed {chosen}")
    found = uvloop.run(run(store, count, members, faults, plant or "", chosen))
    for fault in found:
        click.echo(f"VIOLATED  {fault}")
    click.echo(f"{len(found)} violations")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
