"""The stores alone: durable writes a second by 1, 50 and 500 writers, and a start with many objects, beside a floor.

    python -m benchmarks.store [--store sqlite|etcd] [--seconds 3] [--objects 100000] [--rounds 3]

The floor of the file commits the same rows to a bare table, one to a commit and fifty; that of etcd is a bare put over
gRPC by as many writers. Rounds take turns with it. etcd is one member of what is installed, on the same disk.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from apimachinery.kit import loops
from benchmarks import figures, ports
from controlplane.apiserver.layout import UpstreamLayout
from controlplane.apiserver.resources import builtin
from controlplane.store import Place, Put, Store, build
from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.etcd.calls import Calls
from controlplane.store.etcd.members import Members
from controlplane.store.model import Unavailable

SIZE = 3300
WRITERS = (1, 50, 500)
# What an object looks like to the layout, which puts its kind in front.
HEAD, TAIL = b'{"metadata":{"name":"p"},"x":"', b'"}'

Make = Callable[[Path], Store]
One = Callable[[int, int], Awaitable[object]]


def body() -> bytes:
    return HEAD + os.urandom((SIZE - len(HEAD)) // 2).hex().encode() + TAIL


def rows(path: Path, seconds: float, count: int) -> float:
    """Rows a second in commits of so many rows."""
    link = sqlite3.connect(path, isolation_level=None)
    link.execute("PRAGMA locking_mode = EXCLUSIVE")
    link.execute("PRAGMA journal_mode = WAL")
    link.execute("PRAGMA synchronous = FULL")
    link.execute("CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT, created INTEGER, value BLOB)")
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        link.execute("BEGIN IMMEDIATE")
        batch = [(f"pods/default/p{done + n}", done, body()) for n in range(count)]
        link.executemany("INSERT INTO log (key, created, value) VALUES (?, ?, ?)", batch)
        link.execute("COMMIT")
        done += count
    took = time.perf_counter() - began
    link.close()
    return done / took


async def load(writers: int, seconds: float, one: One) -> tuple[float, list[float]]:
    """How often a second so many writers get through one(writer, count), and the seconds of each."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def writer(number: int) -> None:
        count = 0
        while (began := time.perf_counter()) < end:
            await one(number, count)
            took.append(time.perf_counter() - began)
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(writer(number) for number in range(writers)))
    return len(took) / (time.perf_counter() - began), took


async def writes(store: Store, writers: int, seconds: float) -> tuple[float, list[float]]:
    await store.open()
    try:
        return await load(
            writers, seconds, lambda number, count: store.txn([Put(f"pods/w{writers}/p{number}-{count}", body(), 0)])
        )
    finally:
        await store.close()


async def puts(place: Place, writers: int, seconds: float) -> tuple[float, list[float]]:
    """The floor of etcd: nothing is expected, and nobody watches."""
    members = Members(place)
    calls = Calls(members)

    async def one(number: int, count: int) -> object:
        put = rpc.PutRequest(key=f"/floor/w{writers}/{number}-{count}".encode(), value=body())
        return await calls.ask("KV/Txn", rpc.TxnRequest(success=[rpc.RequestOp(put=put)]), rpc.TxnResponse)

    try:
        return await load(writers, seconds, one)
    finally:
        await members.close()


async def fill(store: Store, objects: int) -> None:
    await store.open()
    for first in range(0, objects, 500):
        many = range(first, min(first + 500, objects))
        await asyncio.gather(*(store.txn([Put(f"pods/many/p{n}", body(), 0)]) for n in many))
    await store.close()


async def start(store: Store) -> float:
    """Seconds until the store is open and its history is in memory."""
    began = time.perf_counter()
    await store.open()
    await store.history()
    took = time.perf_counter() - began
    await store.close()
    return took


@contextmanager
def etcd(folder: Path) -> Iterator[Place]:
    """One member, on free ports of the loopback address."""
    client, peer = (f"http://127.0.0.1:{port}" for port in ports.free(2))
    names = ("listen-client-urls", "advertise-client-urls")
    options = {
        **dict.fromkeys(names, client),
        **dict.fromkeys(("listen-peer-urls", "initial-advertise-peer-urls"), peer),
        "initial-cluster": f"default={peer}",
        "data-dir": str(folder / "etcd"),
        "quota-backend-bytes": str(8 << 30),
    }
    argv = ["etcd", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "etcd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield Place(folder, (client,))
    finally:
        process.kill()
        process.wait()


async def _answers(place: Place) -> None:
    members = Members(place)
    try:
        await Calls(members).newest()
    except Unavailable as error:
        raise click.ClickException(f"etcd does not start: {error}") from error
    finally:
        await members.close()


def tell(what: str, found: tuple[float, list[float]]) -> None:
    rate, took = found
    p50, p99 = (figures.percentile(took, part) * 1e3 for part in (0.5, 0.99))
    click.echo(f"{what:<40}{rate:>9.0f} /s   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms")


async def measure(make: Make, place: Place | None, folder: Path, seconds: float, objects: int) -> None:
    """One round; place: etcd's, None for the file."""
    if place is not None:
        await _answers(place)
    else:
        for count in (1, 50):
            rate = rows(folder / f"floor{count}.db", seconds, count)
            click.echo(f"{f'floor: raw commits of {count} rows':<40}{rate:>9.0f} /s")
    for writers in WRITERS:
        if place is not None:
            tell(f"floor: bare puts by {writers} writers", await puts(place, writers, seconds))
        tell(f"{writers} writers", await writes(make(folder / f"{writers}"), writers, seconds))
    if objects:
        await fill(make(folder / "many"), objects)
        times = [await start(make(folder / "many")) for _ in range(3)]
        click.echo(f"{f'start with {objects} objects':<40}{min(times):>9.2f} s (best of 3)")


@click.command()
@click.option("--store", type=click.Choice(("sqlite", "etcd")), default="sqlite", show_default=True)
@click.option("--seconds", default=3.0, help="How long each measurement lasts.")
@click.option("--objects", default=100_000, help="Objects to start with; 0 leaves that out.")
@click.option("--rounds", default=3, help="How often the whole is repeated.")
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="Where the disk to measure is mounted.")
def main(store: str, seconds: float, objects: int, rounds: int, folder: Path | None) -> None:
    """Measure a store."""
    loops.run(run(store, seconds, objects, rounds, folder))


async def run(store: str, seconds: float, objects: int, rounds: int, folder: Path | None) -> None:
    """All of it on one loop: gRPC wants no other."""
    layout = UpstreamLayout(builtin.catalog())
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder, prefix="wht") as fresh:
            own, wanted = Path(fresh), objects if number == 0 else 0
            if store == "sqlite":
                await measure(lambda where: build("sqlite", Place(where), layout), None, own, seconds, wanted)
                continue
            with etcd(own) as place:
                await measure(lambda _, place=place: build("etcd", place, layout), place, own, seconds, wanted)  # type: ignore[misc]


if __name__ == "__main__":
    main()
