"""Peers that say nothing, say half of it, or come in crowds, on real sockets of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from apimachinery import pki
from apimachinery.kit import loops, webserver
from apimachinery.kit.webserver import Limits

# Short where the test waits for it, long where something else must end the wait.
SOON, NEVER = 0.3, 3600.0
PATIENT = Limits(NEVER, NEVER, NEVER, 100)
DEADLINE = 60.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    directory = tmp_path_factory.mktemp("pki")
    authority = pki.new_ca("test")
    pair = pki.issue(authority, "server", ips=("127.0.0.1",), server=True)
    for name, data in (("crt", pair.cert_pem), ("key", pair.key_pem), ("ca", authority.cert_pem)):
        (directory / name).write_bytes(data)
    return directory / "crt", directory / "key", directory / "ca"


class Door:
    """A running server; `held` requests wait for `release`."""

    def __init__(self) -> None:
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.release = asyncio.Event()
        self.entered = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/held":
            self.entered.set()
            await self.release.wait()
        return web.Response(text="ok")

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        # A writer nobody holds closes its connection.
        self.writers.append(writer)
        return reader, writer

    async def get(self, path: str = "/") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.open()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return reader, writer


@contextlib.asynccontextmanager
async def door(limits: Limits, context: ssl.SSLContext | None = None) -> AsyncIterator[Door]:
    made = Door()
    runner = web.ServerRunner(webserver.server(made.handle, limits=limits))
    await runner.setup()
    await webserver.Site(runner, "127.0.0.1", 0, ssl_context=context).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        made.release.set()
        for writer in made.writers:
            writer.close()
        await runner.cleanup()


async def cut(reader: asyncio.StreamReader) -> bytes:
    """What came before the end of the connection; fails where it does not end."""
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), DEADLINE)
    return b""


def test_a_handshake_that_never_comes_is_not_waited_for(certificate: tuple[Path, Path, Path]) -> None:
    async def main() -> None:
        context = webserver.tls_context(*certificate)
        async with door(Limits(SOON, NEVER, NEVER, 100), context) as at:
            silent, half = await at.open(), await at.open()
            half[1].write(b"\x16\x03\x01\x02\x00\x01")
            assert await cut(silent[0]) == b""
            await cut(half[0])

    asyncio.run(main())


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /"])
def test_a_head_that_never_ends_is_not_waited_for(said: bytes) -> None:
    async def main() -> None:
        async with door(Limits(NEVER, SOON, NEVER, 100)) as at:
            reader, writer = await at.open()
            writer.write(said)
            assert await cut(reader) == b""

    asyncio.run(main())


class Listening:
    """A listening socket by what each accept() brings; after the last, the last again."""

    def __init__(self, *brought: type[OSError] | None) -> None:
        self.brought, self.taken, self.closed = list(brought), 0, False
        self.ours, self.theirs = socket.socketpair()

    def accept(self) -> tuple[socket.socket, None]:
        if error := self.brought.pop(0) if len(self.brought) > 1 else self.brought[0]:
            raise error
        self.taken += 1
        return socket.socket(), None

    def fileno(self) -> int:
        return self.ours.fileno()

    def close(self) -> None:
        self.closed = True
        self.ours.close()
        self.theirs.close()


@pytest.mark.parametrize(
    ("brought", "least", "most"), [((ConnectionAbortedError, None, BlockingIOError), 1, 1), ((None,), 129, 256)]
)
def test_a_port_that_is_closed_takes_on_those_who_wait_and_no_crowd_without_end(
    certificate: tuple[Path, Path, Path], brought: tuple[type[OSError] | None, ...], least: int, most: int
) -> None:
    async def main() -> None:
        server = webserver.server(Door().handle, limits=Limits(connections=1))
        listening = Listening(*brought)
        context = webserver.tls_context(*certificate)
        webserver._Doorstep([cast(socket.socket, listening)], context, cast(Any, server), 128).close()
        assert listening.closed and least <= listening.taken <= most
        await server.shutdown(1.0)

    asyncio.run(main())


def test_a_head_that_drips_has_no_more_time() -> None:
    async def main() -> None:
        async with door(Limits(NEVER, SOON, NEVER, 100)) as at:
            reader, writer = await at.open()
            writer.write(b"GET / HTTP/1.1\r\n")
            ended = asyncio.ensure_future(cut(reader))
            while not ended.done():
                writer.write(b"a: b\r\n")
                await asyncio.wait((ended,), timeout=SOON / 10)

    asyncio.run(main())


def test_a_request_under_way_takes_as_long_as_it_takes() -> None:
    async def main() -> None:
        async with door(Limits(NEVER, 0.05, 0.05, 100)) as at:
            reader, _ = await at.get("/held")
            silent, _ = await at.open()
            await at.entered.wait()
            # By now the one that says nothing was cut, and the timers of both ran the same time.
            await cut(silent)
            at.release.set()
            assert (await asyncio.wait_for(reader.readline(), DEADLINE)).startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_a_connection_at_rest_is_closed() -> None:
    async def main() -> None:
        async with door(Limits(NEVER, NEVER, SOON, 100)) as at:
            reader, _ = await at.get()
            assert (await cut(reader)).startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_those_that_rest_longest_make_room_and_those_at_work_do_not() -> None:
    async def main() -> None:
        async with door(Limits(NEVER, NEVER, NEVER, 3)) as at:
            working, _ = await at.get("/held")
            await at.entered.wait()
            first, second = await at.get(), await at.get()
            for reader, _ in (first, second):
                await reader.readuntil(b"ok")
            third, _ = await at.get()
            await asyncio.wait_for(third.readuntil(b"ok"), DEADLINE)
            assert await cut(first[0]) == b""
            second[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(second[0].readuntil(b"ok"), DEADLINE)
            at.release.set()
            await asyncio.wait_for(working.readuntil(b"ok"), DEADLINE)

    asyncio.run(main())


def test_a_crowd_of_silent_peers_does_not_keep_others_out() -> None:
    async def main() -> None:
        async with door(Limits(NEVER, NEVER, NEVER, 20)) as at:
            for _ in range(200):
                await at.open()
            reader, _ = await at.get()
            await asyncio.wait_for(reader.readuntil(b"ok"), DEADLINE)

    asyncio.run(main())


@pytest.mark.parametrize("run", [asyncio.run, loops.run])
def test_handshakes_under_way_have_a_quarter_of_the_places(
    certificate: tuple[Path, Path, Path], run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """Those that take longest make room for the next, and nobody who has shaken hands loses a place to them."""

    async def main() -> None:
        context = ssl.create_default_context(cafile=str(certificate[2]))
        async with door(Limits(NEVER, NEVER, NEVER, 16), webserver.tls_context(*certificate)) as at:
            known, first = await asyncio.open_connection("127.0.0.1", at.port, ssl=context)
            first.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(known.readuntil(b"ok"), DEADLINE)
            half = [await at.open() for _ in range(60)]
            half[-1][1].write(b"\x16\x03\x01\x02\x00\x01")
            await asyncio.gather(*(cut(reader) for reader, _ in half[:-4]))
            late, second = await asyncio.open_connection("127.0.0.1", at.port, ssl=context)
            for reader, writer in ((known, first), (late, second)):
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.wait_for(reader.readuntil(b"ok"), DEADLINE)
                writer.close()
            assert [reader.at_eof() for reader, _ in half[-3:]] == [False] * 3

    run(main())


@pytest.mark.parametrize("run", [asyncio.run, loops.run])
def test_the_last_place_is_for_the_peer_that_took_it_to_shake_hands(
    certificate: tuple[Path, Path, Path], run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def main() -> None:
        context = ssl.create_default_context(cafile=str(certificate[2]))
        async with door(Limits(NEVER, NEVER, NEVER, 2), webserver.tls_context(*certificate)) as at:
            _, busy = await asyncio.open_connection("127.0.0.1", at.port, ssl=context)
            busy.write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(at.entered.wait(), DEADLINE)
            reader, last = await asyncio.open_connection("127.0.0.1", at.port, ssl=context)
            last.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"ok"), DEADLINE)
            at.release.set()
            busy.close()
            last.close()

    run(main())


@pytest.mark.parametrize("run", [asyncio.run, loops.run])
def test_what_a_peer_says_right_behind_its_handshake_is_heard(
    certificate: tuple[Path, Path, Path], run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """And one that hangs up at once leaves its place."""

    async def main() -> None:
        context = ssl.create_default_context(cafile=str(certificate[2]))
        async with door(Limits(NEVER, NEVER, NEVER, 4), webserver.tls_context(*certificate)) as at:
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", at.port, ssl=context)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert (await asyncio.wait_for(reader.read(), DEADLINE)).endswith(b"ok")
                _, hasty = await at.open()
                hasty.close()

    run(main())


def client(authority: Path, version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    return context


@pytest.mark.parametrize(
    ("version", "ciphers", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
        (ssl.TLSVersion.TLSv1_2, "DEFAULT", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:AES128-SHA", False),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256", False),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_only_strong_ciphers_are_spoken(
    certificate: tuple[Path, Path, Path], version: ssl.TLSVersion, ciphers: str, accepted: bool
) -> None:
    async def main() -> None:
        async with door(PATIENT, webserver.tls_context(*certificate)) as at:
            context = client(certificate[2], version, ciphers)
            opening = asyncio.open_connection("127.0.0.1", at.port, ssl=context)
            if accepted:
                _, writer = await opening
                writer.close()
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await opening

    asyncio.run(main())
