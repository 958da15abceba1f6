"""A server stops while another at the same address goes on: no client that keeps its connections loses a request."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from apimachinery import pki
from apimachinery.kit import loops, webserver
from apimachinery.kit.webserver import Limits
from tests.waiting import until

# Longer than any client pauses: whoever rests so long has gone.
REST = 10.0
CLIENTS, DEADLINE = 24, 40.0


async def serve(name: str, port: int, rest: float, context: ssl.SSLContext) -> web.ServerRunner:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        # Long enough that some are under way when the end comes.
        await asyncio.sleep(0.02)
        return web.Response(text=name)

    runner = web.ServerRunner(webserver.server(handle, limits=Limits(rest=rest)), shutdown_timeout=DEADLINE)
    await runner.setup()
    await webserver.Site(runner, "127.0.0.1", port, ssl_context=context, reuse_port=True).start()
    return runner


class Client:
    """Writes again and again over one connection, and over a new one only when it was told that the old one ends. As
    Go's client it sends no write twice: a connection that ends without an answer is a failure. It does not look whether
    the other end has hung up, which any client may do too early.
    """

    def __init__(self, port: int, context: ssl.SSLContext, pause: float) -> None:
        self._port, self._context, self._pause = port, context, pause
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.done = asyncio.Event()

    async def run(self) -> None:
        link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.done.is_set():
            try:
                if link is None:
                    link = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
                reader, writer = link
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
                head = await reader.readuntil(b"\r\n\r\n")
                self.answers[(await reader.readexactly(1)).decode()] += 1
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
                link = None
                continue
            if b"connection: close" in head.lower():
                writer.close()
                link = None
            await asyncio.sleep(self._pause)
        if link is not None:
            link[1].close()


def test_nobody_who_asks_while_a_server_stops_goes_without_an_answer(tmp_path: Path) -> None:
    authority = pki.new_ca("test")
    pair = pki.issue(authority, "server", ips=("127.0.0.1",), server=True)
    files = [tmp_path / name for name in ("crt", "key", "ca")]
    for file, body in zip(files, (pair.cert_pem, pair.key_pem, authority.cert_pem), strict=True):
        file.write_bytes(body)

    async def main() -> None:
        context = webserver.tls_context(files[0], files[1])
        staying = await serve("b", 0, 0.0, context)
        port = staying.addresses[0][1]
        leaving = await serve("a", port, REST, context)
        trusting = ssl.create_default_context(cafile=str(files[2]))
        clients = [Client(port, trusting, 0.001 * number) for number in range(CLIENTS)]
        running = [asyncio.ensure_future(client.run()) for client in clients]
        try:
            await until(lambda: all(any(client.answers[name] for client in clients) for name in "ab"))
            await asyncio.wait_for(leaving.cleanup(), DEADLINE)
            # Nobody is left behind.
            await until(lambda: all(client.answers["b"] for client in clients))
        finally:
            for client in clients:
                client.done.set()
            await asyncio.gather(*running)
            await staying.cleanup()
        assert [client.failures for client in clients if client.failures] == []

    loops.run(asyncio.wait_for(main(), DEADLINE))


def test_a_connection_that_says_nothing_more_is_closed_after_its_rest(tmp_path: Path) -> None:
    async def main() -> None:
        async def handle(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(text="a")

        runner = web.ServerRunner(webserver.server(handle, limits=Limits(rest=0.1)), shutdown_timeout=DEADLINE)
        await runner.setup()
        await webserver.Site(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"close" not in (await reader.readuntil(b"\r\n\r\n")).lower()
        # Well before the time that requests under way would be given.
        await asyncio.wait_for(runner.cleanup(), DEADLINE / 2)
        assert await reader.read() == b"a"
        writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("busy", [True, False])
def test_a_server_ends_when_its_time_is_over(busy: bool) -> None:
    """Whether a peer still has its rest, or waits for an answer that does not come."""

    async def main() -> None:
        asked = asyncio.Event()

        async def handle(_: web.BaseRequest) -> web.StreamResponse:
            asked.set()
            if busy:
                await asyncio.Event().wait()
            return web.Response(text="a")

        runner = web.ServerRunner(webserver.server(handle, limits=Limits(rest=DEADLINE)), shutdown_timeout=0.1)
        await runner.setup()
        await webserver.Site(runner, "127.0.0.1", 0).start()
        _, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(asked.wait(), DEADLINE)
        await asyncio.wait_for(runner.cleanup(), DEADLINE / 2)
        writer.close()

    asyncio.run(main())
