"""Where Service rules are measured: a node namespace with a VIP in it, and backends that say who they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from apimachinery.kit import netns
from benchmarks import ends
from netproxy.ground import Ground
from netproxy.model import Family

BACKENDS = ("10.244.1.5", "10.244.1.6")
NODE_IP = "10.244.1.1"
GROUND = Ground(Family.IPV4, cluster_cidrs=("10.244.0.0/16",), service_cidrs=("10.96.0.0/16",))


def fresh_name() -> str:
    """A namespace name nobody else uses."""
    return f"wht{os.getpid():x}{secrets.token_hex(2)}"


class World:
    """A node namespace and one with the backends' addresses; a server there tells the address asked, then echoes."""

    def __init__(self) -> None:
        prefix = fresh_name()
        self.node, self.pods = netns.path_of(prefix + "n"), netns.path_of(prefix + "p")
        self._backends: subprocess.Popen[bytes] | None = None

    def wire(self) -> None:
        """Make the namespaces, link them, start the server."""
        for path in (self.node, self.pods):
            netns.create(path.name)
        run("ip", "link", "add", "v0", "netns", self.node.name, "type", "veth", "peer", "e0", "netns", self.pods.name)
        inside = [f"addr add {ip}/24 dev e0" for ip in BACKENDS]
        self._ip(self.node, "link set lo up", f"addr add {NODE_IP}/24 dev v0", "link set v0 up")
        self._ip(self.pods, "link set lo up", *inside, "link set e0 up", f"route add default via {NODE_IP}")
        self._ip(self.node, "route add default via 10.244.1.254")
        with netns.open_socket(self.pods, socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(("", 8080))
            listener.listen(256)
            argv = [sys.executable, "-I", ends.__file__, str(listener.fileno())]
            passed = (listener.fileno(),)
            # With a pipe of ours it ends when we do, however that is.
            self._backends = subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=passed, start_new_session=True)

    def close(self) -> None:
        """Remove everything; whatever was never made need not exist."""
        if self._backends is not None:
            with self._backends:
                self._backends.kill()
        for path in (self.node, self.pods):
            netns.delete(path.name)

    def _ip(self, where: Path, *lines: str) -> None:
        run("nsenter", f"--net={where}", "ip", "-batch", "-", text="\n".join(lines))


@contextlib.contextmanager
def new_world() -> Iterator[World]:
    """A wired world; gone at the end whatever happens."""
    world = World()
    try:
        world.wire()
        yield world
    finally:
        world.close()


def run(*argv: str, text: str = "") -> float:
    """Milliseconds of a command with `text` on its standard input."""
    began = time.perf_counter()
    subprocess.run(argv, input=text.encode(), check=True, capture_output=True, timeout=300)
    return (time.perf_counter() - began) * 1e3


_BYTES = 5
"""there and back on each connection"""


def ways(there: Sequence[tuple[str, int]], rounds: int) -> list[tuple[list[float], list[float]]]:
    """Seconds until a new connection's first answer, and of a byte there and back on it, at each of these in turns."""
    found: list[tuple[list[float], list[float]]] = [([], []) for _ in there]
    for _ in range(rounds):
        for (begun, steady), end in zip(found, there, strict=True):
            began = time.perf_counter()
            with socket.create_connection(end, 5) as handle:
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                handle.recv(64)
                begun.append(time.perf_counter() - began)
                for _ in range(_BYTES):
                    began = time.perf_counter()
                    handle.sendall(b"x")
                    handle.recv(1)
                    steady.append(time.perf_counter() - began)
    return found


def run_inside(where: Path, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end in a namespace. Ctrl-C cancels it and waits until it has cleaned up."""
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.ensure_future(body())
        running.append((asyncio.get_running_loop(), task))
        await task

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(netns.call, where, lambda: asyncio.run(main()))
        try:
            working.result()
        finally:
            for loop, task in running:
                # RuntimeError: the loop has closed because the work is done.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(task.cancel)
