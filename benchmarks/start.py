"""What a start of the API server costs: until it answers, and in memory, with few objects and with many; after kill -9.

    python -m benchmarks.start [--store sqlite|etcd] [--objects 100000] [--rounds 5]

The floors of the same run: an interpreter that ends at once, one that has imported the server and ends, and a bare read
of what is stored, each object decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import orjson
import yaml

from apimachinery.kit import loops
from benchmarks import api, figures
from benchmarks.store import etcd
from controlplane.apiserver.app import place
from controlplane.apiserver.layout import UpstreamLayout
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.settings import Settings
from controlplane.store import Place, Put, Store, build
from controlplane.store.etcd import pages
from controlplane.store.etcd.calls import Calls
from controlplane.store.etcd.members import Members

_DEADLINE = 600.0
"""Seconds for one start: of many objects on a machine that is busy."""
_FLOORS = {
    "floor: an interpreter": "pass",
    "floor: and the server's imports": "import controlplane.apiserver.app",
}


def ended(text: str) -> float:
    """Seconds of an interpreter that runs a text."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", text], check=True, timeout=api.DEADLINE)
    return time.perf_counter() - began


async def started(config: Path, target: api.Target) -> tuple[asyncio.subprocess.Process, float]:
    """A server and the seconds until it has answered that it is ready. SystemExit where it ends, or is not in time."""
    began = time.perf_counter()
    argv = (sys.executable, "-m", "controlplane.apiserver", "--config", str(config))
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        if await asyncio.wait_for(_is_ready(process, target), _DEADLINE):
            return process, time.perf_counter() - began
    except asyncio.TimeoutError:
        await killed(process)
        raise SystemExit(f"the server was not ready within {_DEADLINE:.0f} s") from None
    raise SystemExit(f"the server has ended with status {process.returncode}")


async def _is_ready(process: asyncio.subprocess.Process, target: api.Target) -> bool:
    """True once it answers so, False once it has ended."""
    while process.returncode is None:
        with contextlib.suppress(OSError, EOFError):
            link = await api.Connection.open(target)
            try:
                status, _ = await link.call(api.request("GET", "/readyz"))
            finally:
                link.close()
            if status == 200:
                return True
        await asyncio.sleep(0.005)
    return False


async def killed(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def example(target: api.Target) -> dict[str, Any]:
    """A pod as the server stores it."""
    link = await api.Connection.open(target)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await link.call(api.request("POST", f"/api/v1/namespaces/{api.NAMESPACE}/serviceaccounts", account))
    status, body = await link.call(api.request("POST", f"/api/v1/namespaces/{api.NAMESPACE}/pods", api.pod("example")))
    link.close()
    if status != 201:
        raise SystemExit(body.decode())
    found: dict[str, Any] = orjson.loads(body)
    for name in ("kind", "apiVersion"):
        del found[name]
    del found["metadata"]["resourceVersion"]
    return found


async def fill(store: Store, pod: dict[str, Any], objects: int) -> None:
    await store.open()
    try:
        for first in range(0, objects, 500):
            many = range(first, min(first + 500, objects))
            await asyncio.gather(*(store.txn([Put(*_named(pod, n), 0)]) for n in many))
    finally:
        await store.close()


def _named(pod: dict[str, Any], number: int) -> tuple[str, bytes]:
    name, uid = f"p{number}", f"00000000-0000-4000-8000-{number:012d}"
    metadata = {**pod["metadata"], "name": name, "uid": uid}
    return f"pods/{api.NAMESPACE}/{name}", orjson.dumps({**pod, "metadata": metadata})


async def bare(store: str, where: Place) -> None:
    """Read what is stored and decode each object, which is the least that a start with an index of all of them does."""
    began, processor = time.perf_counter(), time.process_time()
    async for value in _from_etcd(where) if store == "etcd" else _from_file(where):
        orjson.loads(value)
    took, processor = time.perf_counter() - began, time.process_time() - processor
    click.echo(f"{'floor: read and decoded, bare':<40}{took:>8.2f} s   CPU {processor:.2f} s")


async def _from_file(where: Place) -> AsyncIterator[bytes]:
    with contextlib.closing(sqlite3.connect(f"file:{where.data_dir}/state.db?mode=ro", uri=True)) as link:
        for (value,) in link.execute("SELECT value FROM log WHERE value IS NOT NULL"):
            yield value


async def _from_etcd(where: Place) -> AsyncIterator[bytes]:
    members = Members(where)
    try:
        async for found, _ in pages.read(Calls(members).ask, f"{where.prefix}/".encode()):
            for kv in found:
                if kv.value.startswith(b"{"):
                    yield kv.value
    finally:
        await members.close()


async def rounds(config: Path, target: api.Target, count: int, label: str) -> None:
    """So many starts, each after a kill."""
    times, processor, memory = [], [], 0.0
    for _ in range(count):
        process, took = await started(config, target)
        times.append(took)
        memory = api.resident(process.pid)
        processor.append(figures.processor_seconds(process.pid))
        await killed(process)
    told = ", ".join(f"{took:.2f}" for took in times)
    click.echo(
        f"{label:<40}{figures.percentile(times, 0.5):>8.2f} s   ({told}), CPU {min(processor):.2f} s, {memory:.0f} MB"
    )


async def measure(folder: Path, store: str, counts: Sequence[int], times: int) -> None:
    for label, text in _FLOORS.items():
        click.echo(f"{label:<40}{min(ended(text) for _ in range(times)):>8.2f} s")
    with ExitStack() as stack:
        config = api.settings(folder, 18543)
        given = yaml.safe_load(config.read_text())
        if store == "etcd":
            given |= {"store": "etcd", "etcd_servers": list(stack.enter_context(etcd(folder)).servers)}
            config.write_text(yaml.safe_dump(given))
        target = api.Target(given["port"], api.client_context(folder))
        process, took = await started(config, target)
        click.echo(f"{'the first start, which makes everything':<40}{took:>8.2f} s")
        try:
            pod = await example(target)
        finally:
            await killed(process)
        await rounds(config, target, times, "a start with what every cluster has")
        where = place(Settings(folder / "data", etcd_servers=tuple(given.get("etcd_servers", ()))))
        for objects in counts:
            await fill(build(store, where, UpstreamLayout(builtin.catalog())), pod, objects)
            await bare(store, where)
            await rounds(config, target, times, f"a start with {objects} pods")


@click.command()
@click.option("--store", type=click.Choice(("sqlite", "etcd")), default="sqlite", show_default=True)
@click.option("--objects", default=100_000, show_default=True, help="Pods; 0 leaves that out.")
@click.option("--rounds", "times", default=5, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="Where the disk to measure is mounted.")
def main(store: str, objects: int, times: int, folder: Path | None) -> None:
    """Measure the start of an API server."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="wht") as fresh:
        loops.run(measure(Path(fresh), store, [objects] if objects else [], times))


if __name__ == "__main__":
    main()
