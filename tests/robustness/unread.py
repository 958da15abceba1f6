"""Clients that ask for much and read nothing: what the API server's memory comes to, and whether it is given back.

python -m tests.robustness.unread [--clients 500] [--objects 1500]
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import click

from apimachinery.kit import loops
from benchmarks import api
from tests.robustness.attacks import PATH, config_map, server


def ask(target: api.Target, path: str) -> ssl.SSLSocket:
    """A connection that asks and never reads."""
    plain = socket.create_connection(("127.0.0.1", target.port), timeout=30)
    link = target.tls.wrap_socket(plain, server_hostname="127.0.0.1")
    link.sendall(api.request("GET", path))
    return link


async def fill(target: api.Target, objects: int, bytes_each: int) -> None:
    link = await api.Connection.open(target)
    for number in range(objects):
        body = {**config_map(f"big-{number}"), "data": {"x": "y" * bytes_each}}
        status, told = await link.call(api.request("POST", PATH, body))
        assert status == 201, told
    link.close()


async def settled(pid: int) -> float:
    """MB, once they have not changed by one for a second."""
    known = api.resident(pid)
    for _ in range(60):
        await asyncio.sleep(1)
        known, before = api.resident(pid), known
        if abs(known - before) < 1:
            break
    return known


async def unread(target: api.Target, pid: int, path: str, clients: int) -> tuple[float, float, float]:
    """MB before, while so many do not read, and after they have gone."""
    before = await settled(pid)
    links: list[ssl.SSLSocket] = []
    try:
        for _ in range(clients):
            links.append(await asyncio.to_thread(ask, target, path))
        during = await settled(pid)
    finally:
        for link in links:
            with contextlib.suppress(OSError):
                link.close()
    # The server gives memory back every 20 s.
    await asyncio.sleep(25)
    return before, during, await settled(pid)


async def measure(port: int, clients: int, objects: int, size: int) -> None:
    async with server(port) as (target, pid):
        await fill(target, objects, size)
        for name, path in (("watches", f"{PATH}?watch=1"), ("lists", PATH)):
            before, during, after = await unread(target, pid, path, clients)
            click.echo(
                f"{clients} unread {name} of {objects * size / 1e6:.1f} MB: "
                f"{before:.0f} MB before, {during:.0f} MB during, {after:.0f} MB afterwards"
            )


@click.command()
@click.option("--clients", default=500)
@click.option("--objects", default=1500)
@click.option("--size", default=3300, help="Bytes of each object.")
@click.option("--port", default=18843, help="A free loopback port.")
def main(clients: int, objects: int, size: int, port: int) -> None:
    """Ask for much and read nothing."""
    loops.run(measure(port, clients, objects, size))


if __name__ == "__main__":
    main()
