"""The store alone: durable writes a second by 1, 50 and 500 writers, and a start with many objects, beside raw SQLite.

    python -m benchmarks.store [--seconds 3] [--objects 100000] [--rounds 3]

The floor commits the same rows to a bare table, one to a commit and fifty; rounds take turns with it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from pathlib import Path

import click
import uvloop

from benchmarks import figures
from controlplane.store import Put
from controlplane.store.sqlite import SqliteStore

SIZE = 3300


def floor(path: Path, seconds: float, rows: int) -> float:
    """Rows a second in commits of so many rows."""
    link = sqlite3.connect(path, isolation_level=None)
    link.execute("PRAGMA locking_mode = EXCLUSIVE")
    link.execute("PRAGMA journal_mode = WAL")
    link.execute("PRAGMA synchronous = FULL")
    link.execute("CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT, created INTEGER, value BLOB)")
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        link.execute("BEGIN IMMEDIATE")
        batch = [(f"pods/default/p{count + n}", count, os.urandom(SIZE)) for n in range(rows)]
        link.executemany("INSERT INTO log (key, created, value) VALUES (?, ?, ?)", batch)
        link.execute("COMMIT")
        count += rows
    took = time.perf_counter() - began
    link.close()
    return count / took


async def writes(path: Path, seconds: float, writers: int) -> tuple[float, list[float]]:
    """Writes a second, and the seconds of each."""
    store = SqliteStore(path)
    await store.open()
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def writer(number: int) -> None:
        count = 0
        while (began := time.perf_counter()) < end:
            await store.txn([Put(f"pods/default/p{number}-{count}", os.urandom(SIZE), 0)])
            took.append(time.perf_counter() - began)
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(writer(number) for number in range(writers)))
    rate = len(took) / (time.perf_counter() - began)
    await store.close()
    return rate, took


async def fill(path: Path, objects: int) -> None:
    store = SqliteStore(path)
    await store.open()
    for first in range(0, objects, 1000):
        many = range(first, min(first + 1000, objects))
        await asyncio.gather(*(store.txn([Put(f"pods/default/p{n}", os.urandom(SIZE), 0)]) for n in many))
    await store.close()


async def start(path: Path) -> float:
    """Seconds until the store is open and its history is in memory."""
    began = time.perf_counter()
    store = SqliteStore(path)
    await store.open()
    await store.history()
    took = time.perf_counter() - began
    await store.close()
    return took


@click.command()
@click.option("--seconds", default=3.0, help="How long each measurement lasts.")
@click.option("--objects", default=100_000, help="Objects to start with; 0 leaves that out.")
@click.option("--rounds", default=3, help="How often the whole is repeated.")
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="Where the disk to measure is mounted.")
def main(seconds: float, objects: int, rounds: int, folder: Path | None) -> None:
    """Measure the store."""
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder, prefix="wht") as fresh:
            place = Path(fresh)
            for rows in (1, 50):
                rate = floor(place / f"floor{rows}.db", seconds, rows)
                click.echo(f"{f'floor: raw commits of {rows} rows':<40}{rate:>9.0f} rows/s")
            for writers in (1, 50, 500):
                rate, took = uvloop.run(writes(place / f"{writers}" / "state.db", seconds, writers))
                p50, p99 = (figures.percentile(took, part) * 1e3 for part in (0.5, 0.99))
                click.echo(f"{f'{writers} writers':<40}{rate:>9.0f} rows/s   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms")
            if objects and number == 0:
                uvloop.run(fill(place / "many" / "state.db", objects))
                times = [uvloop.run(start(place / "many" / "state.db")) for _ in range(3)]
                click.echo(f"{f'start with {objects} objects':<40}{min(times):>9.2f} s (best of 3)")


if __name__ == "__main__":
    main()
