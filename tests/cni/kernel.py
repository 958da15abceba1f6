"""Nodes and pods as private namespaces, for the kernel tier. Everything is gone when the `with` ends."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, links
from tests.waiting import SECONDS

T = TypeVar("T")
_numbers = itertools.count()


@contextmanager
def namespaces(count: int, kind: str) -> Iterator[list[Path]]:
    made: list[str] = []
    try:
        for _ in range(count):
            made.append(f"whtcni{os.getpid()}{kind}{next(_numbers)}")
            path = netns.create(made[-1])
            with Netlink(path) as kernel:
                kernel.do(links.change("lo", up=True))
        yield [netns.path_of(name) for name in made]
    finally:
        for name in made:
            netns.delete(name)


def inside(namespace: Path, scenario: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine on a loop of its own in a thread inside the namespace; what it starts is in there
    too.
    """
    return netns.call(namespace, lambda: asyncio.run(_bounded(scenario)))


async def _bounded(scenario: Callable[[], Awaitable[T]]) -> T:
    return await asyncio.wait_for(scenario(), 120)


@contextmanager
def echo(namespace: Path, port: int = 7, protocol: int = 0) -> Iterator[None]:
    """A TCP server (or of another protocol with streams) of both families that answers with the caller's address."""
    server = netns.open_socket(namespace, socket.AF_INET6, socket.SOCK_STREAM, protocol)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    server.listen(128)
    # SCTP's listening sockets cannot be shut down, which would end the waiting.
    server.settimeout(0.5)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, peer = server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with connection:
                connection.sendall(peer[0].removeprefix("::ffff:").encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        server.close()


@contextmanager
def staying_echo(namespace: Path, port: int) -> Iterator[None]:
    """A TCP server that sends back what it gets, for as long as it gets something."""
    server = netns.open_socket(namespace, socket.AF_INET, socket.SOCK_STREAM)
    # A connection of the server before it, whose end was lost on the way that a test had cut, is still there.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    server.listen(8)

    def serve(handle: socket.socket) -> None:
        with handle, suppress(OSError):
            while data := handle.recv(100):
                handle.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def ask(namespace: Path, address: str, port: int = 7, timeout: float = SECONDS, protocol: int = 0) -> str:
    """Which address the echo server saw; OSError when it cannot be reached."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.open_socket(namespace, family, socket.SOCK_STREAM, protocol) as client:
        client.settimeout(timeout)
        client.connect((address, port))
        return client.recv(100).decode()


def address_of(result: dict[str, Any], version: int = 4) -> str:
    return next(ip["address"].split("/")[0] for ip in result["ips"] if (":" in ip["address"]) == (version == 6))
