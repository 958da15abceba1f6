"""The API server over TLS: gets, creates, lists and watches a second, beside a floor of the same run.

    python -m benchmarks.api [--seconds 3] [--clients 16] [--objects 1000] [--watchers 200]

The floors are the bare HTTP server answering constant bytes under the same load, and one-row SQLite commits.
Server and load share the machine: on two cores each has about one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import orjson
import yaml
from aiohttp import web

from apimachinery import pki
from apimachinery.kit import loops
from apimachinery.objects import Obj
from benchmarks import figures

DEADLINE = 60.0
NAMESPACE = "default"


@dataclass(frozen=True)
class Target:
    """A server to load, and its process where what it takes of a processor is to be told."""

    port: int
    tls: ssl.SSLContext
    pid: int = 0

    def processor_seconds(self) -> float:
        """What the server has had of a processor so far; 0 where its process is not known."""
        return figures.processor_seconds(self.pid) if self.pid else 0.0


@dataclass(frozen=True)
class Outcome:
    """What a load came to: calls a second, the seconds of each, and the server's processor seconds for each."""

    rate: float
    took: list[float]
    processor: float


class Connection:
    """One keep-alive connection that knows just enough HTTP to be no part of what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, target: Target) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", target.port, ssl=target.tls, limit=1 << 24))

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of one request."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        low = head.lower()
        start = low.index(b"content-length:") + 15
        length = int(low[start : low.index(b"\r\n", start)])
        return int(head[9:12]), await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()


def request(method: str, path: str, body: Obj | None = None) -> bytes:
    raw = b"" if body is None else orjson.dumps(body)
    head = f"{method} {path} HTTP/1.1\r\nHost: b\r\nContent-Length: {len(raw)}\r\n"
    if raw:
        head += "Content-Type: application/json\r\n"
    return head.encode() + b"Accept: application/json\r\n\r\n" + raw


def pod(name: str) -> Obj:
    """About 3 KB once the server has completed it."""
    env = [{"name": f"VARIABLE_{n}", "value": f"value-{n}"} for n in range(12)]
    container = {
        "name": "main",
        "image": "registry.example/team/app:1.2.3",
        "env": env,
        "ports": [{"containerPort": 8080, "name": "http"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
    }
    metadata = {"name": name, "labels": {"app": "bench", "tier": "web"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


async def load(target: Target, clients: int, seconds: float, make: Callable[[int, int], bytes]) -> Outcome:
    """Calls by so many connections at once; make(client, count) is the request."""
    end = time.perf_counter() + seconds
    took: list[float] = []

    async def client(number: int) -> int:
        link = await Connection.open(target)
        count = 0
        while (began := time.perf_counter()) < end:
            status, body = await link.call(make(number, count))
            if status >= 300:
                raise SystemExit(f"status {status}: {body[:300]!r}")
            took.append(time.perf_counter() - began)
            count += 1
        link.close()
        return count

    began, processor = time.perf_counter(), target.processor_seconds()
    done = sum(await asyncio.gather(*(client(number) for number in range(clients))))
    return Outcome(done / (time.perf_counter() - began), took, (target.processor_seconds() - processor) / done)


async def watch(target: Target, watchers: int, writes: int) -> Outcome:
    """Events delivered while one client writes; what each took is the time from the write's start to its delivery."""
    delays: list[float] = []
    sent: dict[bytes, float] = {}
    wanted = watchers * writes
    done = asyncio.Event()
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    links = [await Connection.open(target) for _ in range(watchers)]

    async def follow(link: Connection) -> None:
        link.writer.write(request("GET", f"{path}?watch=1&timeoutSeconds=120"))
        await link.reader.readuntil(b"\r\n\r\n")
        while len(delays) < wanted:
            piece = await link.reader.readuntil(b"}}\n")
            at = piece.find(b'"stamp":"')
            if at >= 0:
                delays.append(time.perf_counter() - sent[piece[at + 9 : at + 15]])
        done.set()

    tasks = [asyncio.ensure_future(follow(link)) for link in links]
    await asyncio.sleep(0.5)
    writer = await Connection.open(target)
    began, processor = time.perf_counter(), target.processor_seconds()
    for count in range(writes):
        stamp = f"{count:06d}"
        sent[stamp.encode()] = time.perf_counter()
        body = {"metadata": {"name": f"w{count}"}, "data": {"stamp": stamp}}
        await writer.call(request("POST", path, {"apiVersion": "v1", "kind": "ConfigMap", **body}))
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(done.wait(), DEADLINE)
    took, processor = time.perf_counter() - began, target.processor_seconds() - processor
    for task in tasks:
        task.cancel()
    for link in (*links, writer):
        link.close()
    return Outcome(len(delays) / took, delays, processor / max(1, len(delays)))


def settings(folder: Path, port: int, addresses: Sequence[str] = ("127.0.0.1",)) -> Path:
    """Certificates and the settings file of a server; addresses: which its certificate names."""
    authority = pki.new_ca("bench")
    server = pki.issue(authority, "kube-apiserver", ips=addresses, server=True)
    admin = pki.issue(authority, "admin", organizations=("system:masters",), client=True)
    files = {"ca.crt": authority.cert_pem, "sa.key": pki.service_account_key()}
    for name, pair in (("server", server), ("admin", admin)):
        files |= {f"{name}.crt": pair.cert_pem, f"{name}.key": pair.key_pem}
    for name, body in files.items():
        (folder / name).write_bytes(body)
    values = {
        "data_dir": str(folder / "data"),
        "bind_host": "127.0.0.1",
        "port": port,
        "service_cidr": "10.97.0.0/16",
        "tls_cert_file": str(folder / "server.crt"),
        "tls_key_file": str(folder / "server.key"),
        "client_ca_file": str(folder / "ca.crt"),
        "service_account_key_file": str(folder / "sa.key"),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder / "config.yaml"


def client_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return context


@contextlib.asynccontextmanager
async def process(*argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", *argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.terminate()
        await asyncio.wait_for(started.wait(), DEADLINE)


async def answers(target: Target) -> None:
    """Wait until somebody listens."""
    for _ in range(300):
        try:
            link = await Connection.open(target)
            link.close()
            return
        except OSError:
            await asyncio.sleep(0.1)
    raise SystemExit("the server did not come up")


def resident(pid: int) -> float:
    """MB of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def commits(folder: Path, seconds: float) -> float:
    """One-row durable commits a second, the least a create can cost."""
    link = sqlite3.connect(folder / "floor.db", isolation_level=None)
    link.execute("PRAGMA journal_mode = WAL")
    link.execute("PRAGMA synchronous = FULL")
    link.execute("CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT, value BLOB)")
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        link.execute("INSERT INTO log (key, value) VALUES (?, ?)", (f"pods/default/p{count}", os.urandom(3000)))
        count += 1
    link.close()
    return count / seconds


async def floor(folder: str, port: int, size: int) -> None:
    """The bare HTTP server: constant bytes for every request, over the same TLS."""
    body = b"x" * size

    async def handle(raw: web.BaseRequest) -> web.StreamResponse:
        await raw.read()
        return web.Response(body=body, content_type="application/json")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{folder}/ca.crt")
    context.load_cert_chain(f"{folder}/server.crt", f"{folder}/server.key")
    context.verify_mode = ssl.CERT_OPTIONAL
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    await asyncio.Event().wait()


def show(label: str, of: Outcome) -> None:
    """A line of what was measured."""
    p50, p99 = (figures.percentile(of.took, share) * 1e3 for share in (0.5, 0.99))
    cpu = of.processor * 1e3
    click.echo(f"{label:<40}{of.rate:>10.0f}/s   p50 {p50:8.2f} ms   p99 {p99:8.2f} ms   its CPU {cpu:7.3f} ms each")


async def measure(
    folder: Path, port: int, seconds: float, clients: int, objects: int, watchers: int, servers: Sequence[str]
) -> None:
    """servers: etcd's, if that is the store."""
    config = settings(folder, port)
    if servers:
        given = yaml.safe_load(config.read_text())
        config.write_text(yaml.safe_dump({**given, "store": "etcd", "etcd_servers": list(servers)}))
    tls = client_context(folder)
    async with process("benchmarks.api", "--floor", str(folder), "--port", str(port + 1)) as server:
        bare = Target(port + 1, tls, server.pid)
        await answers(bare)
        show("floor: bare HTTP server, 3 KB", await load(bare, clients, seconds, lambda *_: request("GET", "/")))
    click.echo(f"{'floor: SQLite commits, one row of 3 KB':<40}{commits(folder, seconds):>10.0f}/s")
    async with process("controlplane.apiserver", "--config", str(config)) as server:
        target = Target(port, tls, server.pid)
        await answers(target)
        click.echo(f"{'memory at rest':<40}{resident(server.pid):>10.0f} MB")
        await drive(target, seconds, clients, objects, watchers)
        click.echo(f"{'memory afterwards':<40}{resident(server.pid):>10.0f} MB")


async def drive(target: Target, seconds: float, clients: int, objects: int, watchers: int) -> None:
    """Every measurement against one server."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    link = await Connection.open(target)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await link.call(request("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account))
    for number in range(objects):
        status, body = await link.call(request("POST", path, pod(f"p{number}")))
        if status != 201:
            raise SystemExit(body.decode())
    size = len((await link.call(request("GET", f"{path}/p0")))[1])
    show(f"GET a pod ({size} bytes)", await load(target, clients, seconds, lambda *_: request("GET", f"{path}/p0")))
    show(f"LIST {objects} pods", await load(target, 4, seconds, lambda *_: request("GET", path)))

    def create(client: int, count: int) -> bytes:
        return request("POST", path, pod(f"c{client}-{count}"))

    show(f"create pods, {clients} clients", await load(target, clients, seconds, create))

    def update(client: int, count: int) -> bytes:
        status = {"status": {"phase": "Running", "message": f"{count}"}}
        raw = orjson.dumps(status)
        head = f"PATCH {path}/p{client}/status HTTP/1.1\r\nHost: b\r\nContent-Length: {len(raw)}\r\n"
        return head.encode() + b"Content-Type: application/merge-patch+json\r\n\r\n" + raw

    show(f"patch pod statuses, {clients} clients", await load(target, clients, seconds, update))
    show(f"events delivered to {watchers} watchers", await watch(target, watchers, 100))
    link.close()


@click.command()
@click.option("--seconds", default=3.0, help="How long each measurement lasts.")
@click.option("--clients", default=16, help="Connections at once.")
@click.option("--objects", default=1000, help="Pods to list.")
@click.option("--watchers", default=200, help="Watching connections.")
@click.option("--port", default=18443, help="First of two free loopback ports.")
@click.option("--etcd", "servers", multiple=True, metavar="URL", help="Where etcd answers, which is the store then.")
@click.option("--floor", "folder", hidden=True, help="Be the floor's server, with the certificates of this folder.")
def main(
    seconds: float,
    clients: int,
    objects: int,
    watchers: int,
    port: int,
    servers: tuple[str, ...],
    folder: str | None,
) -> None:
    """Measure the API server."""
    if folder is not None:
        loops.run(floor(folder, port, 3000))
        return
    with tempfile.TemporaryDirectory() as fresh:
        loops.run(measure(Path(fresh), port, seconds, clients, objects, watchers, servers))


if __name__ == "__main__":
    main()
