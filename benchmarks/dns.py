"""Cluster DNS beside a UDP echo in the same kind of loop: queries a second, and how long one takes at half that rate.

`python -m benchmarks.dns` (needs root for a namespace of its own; nothing leaves it).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from apimachinery.kit import loops, netns
from apimachinery.kit.netlink import Netlink, links
from benchmarks.figures import head, row
from benchmarks.vips import fresh_name
from netproxy.dns import wire
from netproxy.dns.directory import Directory
from netproxy.dns.forward import Forwarder
from netproxy.dns.records import A, Zone
from netproxy.dns.server import Resolver, UdpServer

ADDRESS = "127.0.0.1"
SERVICES = 5000
_WINDOW = 64
_COOKIE = 10


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(data, addr)


def _directory() -> Directory:
    made = Directory()
    for number in range(SERVICES):
        ip = f"10.96.{number // 250}.{number % 250 + 1}"
        spec = {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"name": "http", "port": 80}]}
        made.service_changed(None, {"metadata": {"namespace": "default", "name": f"svc-{number}"}, "spec": spec})
    return made


def _resolver() -> Resolver:
    zone = Zone("cluster.local", ("10.96.0.10",))
    made = Resolver(_directory(), zone, Forwarder((), Path("/dev/null"), {}, frozenset()))
    made.complete = True
    return made


async def _echo(handle: socket.socket) -> None:
    await asyncio.get_running_loop().create_datagram_endpoint(_Echo, sock=handle)


async def _dns(handle: socket.socket) -> None:
    UdpServer(_resolver(), handle).open()


Begin = Callable[[socket.socket], Coroutine[Any, Any, None]]


def _serve(begin: Begin, ready: Any) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            handle.bind((ADDRESS, 0))
            handle.setblocking(False)
            await begin(handle)
            ready.send(handle.getsockname()[1])
            await asyncio.Event().wait()

    loops.run(main())


def _queries(names: list[str], cookie: bytes = b"") -> list[bytes]:
    """With a cookie, as dig and other resolvers send it (RFC 7873), a query is nobody else's, and its answer is not
    kept."""
    made = [wire.query(f"{name}.default.svc.cluster.local", A, 0)[2:] for name in names]
    option = struct.pack("!HHH", len(cookie) + 4, _COOKIE, len(cookie)) + cookie
    return [query[:-2] + option for query in made] if cookie else made


def _blast(port: int, queries: list[bytes], count: int) -> tuple[float, int]:
    """(answers a second, answers missing) with a window of questions under way."""
    missing, done = 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.connect((ADDRESS, port))
        handle.settimeout(2)
        started, sent = time.perf_counter(), 0
        while done + missing < count:
            while sent < count and sent - done - missing < _WINDOW:
                handle.send((sent & 0xFFFF).to_bytes(2, "big") + queries[sent % len(queries)])
                sent += 1
            try:
                handle.recv(2000)
                done += 1
            except TimeoutError:
                missing = sent - done
    return done / (time.perf_counter() - started), missing


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _paced(port: int, queries: list[bytes], rate: float, count: int) -> list[float]:
    """Seconds each of `count` questions took, one after the other's time, at `rate` a second."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.connect((ADDRESS, port))
        handle.settimeout(2)
        due = time.perf_counter()
        for number in range(count):
            while time.perf_counter() < due:
                pass
            began = time.perf_counter()
            handle.send(number.to_bytes(2, "big") + queries[number % len(queries)])
            handle.recv(2000)
            found.append(time.perf_counter() - began)
            due += 1 / rate
    return found


def _with(begin: Begin, use: Callable[[int, int], None]) -> None:
    """`use` gets the server's port and process id."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(begin, theirs), daemon=True)
    process.start()
    try:
        port = ours.recv()
        assert process.pid is not None
        use(port, process.pid)
    finally:
        process.terminate()
        process.join(5)


def measure(count: int, say: Callable[[str], None]) -> None:
    """Print the figures."""
    often, latencies = "100 names again and again", list[str]()
    asked = {
        often: _queries([f"svc-{n}" for n in range(100)]),
        f"{SERVICES} names in turn": _queries([f"svc-{n}" for n in range(SERVICES)]),
        "names that do not exist": _queries([f"no-{n}" for n in range(100)]),
        f"{SERVICES} names, each worked out": _queries([f"svc-{n}" for n in range(SERVICES)], b"12345678"),
        "no names, each worked out": _queries([f"no-{n}" for n in range(SERVICES)], b"12345678"),
    }
    rates: dict[str, float] = {}

    def blast(what: str, port: int, pid: int, queries: list[bytes]) -> None:
        before = _cpu_seconds(pid)
        rates[what], missing = _blast(port, queries, count)
        share = f"{rates[what] / rates['echo']:.2f} of the echo"
        cpu = (_cpu_seconds(pid) - before) / count * 1e6
        say(f"{what:<36}{rates[what]:9.0f}/s   {share}   {cpu:5.1f} us of CPU each   {missing} missing")

    def paced(what: str, port: int, of: str) -> None:
        times = _paced(port, asked[of], rates[what] / 2, min(count, 20_000))
        latencies.append(row(f"{what}, {rates[what] / 2:.0f} a second", times, scale=1000))

    def echo(port: int, pid: int) -> None:
        blast("echo", port, pid, asked[often])
        paced("echo", port, often)

    def dns(port: int, pid: int) -> None:
        for what, queries in asked.items():
            blast(what, port, pid, queries)
        for what in (often, f"{SERVICES} names, each worked out"):
            paced(what, port, what)

    _with(_echo, echo)
    _with(_dns, dns)
    say(head("ms an answer takes at half the rate"))
    for line in latencies:
        say(line)


@click.command()
@click.option("--count", type=click.IntRange(100, 1_000_000), default=60_000, show_default=True)
def main(count: int) -> None:
    """Cluster DNS beside a UDP echo."""
    if os.geteuid() != 0:
        raise click.ClickException("run it as root: it makes a network namespace of its own")
    path = netns.create(fresh_name() + "d")
    try:
        with Netlink(path) as kernel:
            kernel.do(links.change("lo", up=True))
        netns.call(path, lambda: measure(count, click.echo))
    finally:
        netns.delete(path.name)


if __name__ == "__main__":
    main()
