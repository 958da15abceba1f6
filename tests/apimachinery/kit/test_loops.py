"""Who is handed a connected socket closes its number, once, whatever the other side does meanwhile."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from contextlib import suppress
from typing import Any

import pytest

from apimachinery.kit import loops
from tests.waiting import until


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        return near, listening.accept()[0]


def reset(sock: socket.socket) -> None:
    """As the kernel does with what a killed server had not read."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


class Greeting(asyncio.Protocol):
    """Writes at once, as TLS does."""

    def __init__(self) -> None:
        self.got = b""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_connection_that_is_reset_before_its_first_byte_is_closed_once(tls: bool) -> None:
    """The number is free then, and the next file that takes it outlives the socket object."""

    async def body() -> None:
        other = os.open(os.devnull, os.O_RDONLY)
        near, far = pair()
        reset(far)
        number = near.fileno()
        options: dict[str, Any] = {"ssl": ssl.create_default_context(), "server_hostname": "x"} if tls else {}
        with suppress(OSError):
            await asyncio.get_running_loop().create_connection(Greeting, sock=near, **options)
        await until(lambda: closed(number), what="the number is free")
        assert near.fileno() == -1

        os.dup2(other, number)
        try:
            near.close()
            del near
            assert not closed(number)
        finally:
            os.close(number)
            os.close(other)

    loops.run(body())


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["TCP", "UNIX"])
def test_a_handed_over_connection_works_and_ends(family: int) -> None:
    async def body() -> None:
        near, far = pair() if family == socket.AF_INET else socket.socketpair()
        number = near.fileno()
        with far:
            made = await asyncio.get_running_loop().create_connection(Greeting, sock=near)
            transport, protocol = made
            assert await asyncio.to_thread(far.recv, 5) == b"hello"
            far.sendall(b"you")
            await until(lambda: protocol.got == b"you")
            assert transport.get_extra_info("peername") == far.getsockname()
            transport.close()
            await until(lambda: protocol.lost and closed(number))

    loops.run(body())


def test_a_connection_that_nobody_waits_for_any_more_is_closed() -> None:
    async def body() -> None:
        near, far = pair()
        number = near.fileno()
        with far:
            connecting = asyncio.ensure_future(asyncio.get_running_loop().create_connection(Greeting, sock=near))
            await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await until(lambda: closed(number))
            assert near.fileno() == -1

    loops.run(body())
