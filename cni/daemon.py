"""The node's CNI daemon: requests of the executables come in on a unix socket, worker threads do what they
ask.

It must be started in the node's network namespace. Requests for one container wait for each other, so a DEL
that a runtime sends after giving up on an ADD finds that ADD finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from apimachinery.kit.netlink import Netlink
from cni import plugins, skel
from cni.host import Host, free_retired_now
from cni.hostlocal.store import DiskStore, sweep
from cni.portmap import rules
from cni.types import INTERNAL, LATEST, TRY_AGAIN_LATER, CniError

log = logging.getLogger(__name__)

# More threads only queue for the kernel's one lock over network configuration.
WORKERS = 4
REQUEST_LIMIT = 1 << 20
READ_TIMEOUT = 10.0
ANSWER_TIMEOUT = 45.0
# Less than a daemon's patience with one clean-up; what is still at work then is no longer waited for.
FINISH_TIMEOUT = 5.0
# Ends an answer (JSON has no such byte), so that one cut off by this daemon's end is known for what it is.
WHOLE = b"\0"
# The runtime removes a pod's namespace right after DEL, which frees the links as well; what is left then goes
# in one.
FREE_AFTER = 0.25


class Daemon:
    """Serve with `start`, end with `stop`. `data_dir` is swept of addresses nobody holds before the first
    request.
    """

    def __init__(self, path: Path, data_dir: Path) -> None:
        self._path = path
        self._data_dir = data_dir
        self._kernel = Netlink()
        self._reaper = _Reaper()
        self._host = Host(self._kernel, self._reaper.soon, path.parent)
        self._host_ports = rules.of(path.parent)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="cni")
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}
        self._at_work: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._clean)
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(
                lambda: _Connection(self._begin), str(self._path), backlog=1024
            )
        finally:
            os.umask(before)

    async def heal(self) -> None:
        """Write host ports again whenever another program changed their rules; runs for ever."""
        await self._host_ports.heal()

    async def stop(self) -> None:
        """No new request is taken; those at work are finished and answered."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=FINISH_TIMEOUT)
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self._reaper.close)
        self._host_ports.close()
        self._kernel.close()

    def _clean(self) -> None:
        free_retired_now(self._kernel)
        try:
            self._host_ports.restore()
        except (OSError, CniError) as problem:
            # Pods without host ports need none of it, and the next ADD or DEL of one tries again.
            log.warning("host ports: %s", problem)
        if not self._data_dir.is_dir():
            return
        for network in sorted(p.name for p in self._data_dir.iterdir() if p.is_dir()):
            freed = sweep(DiskStore(self._data_dir, network))
            if freed:
                log.info("network %s: released %s, whose containers are gone", network, ", ".join(freed))

    def _begin(self, connection: _Connection, data: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(connection, data))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _handle(self, connection: _Connection, data: bytes) -> None:
        try:
            code, output = await self._answer(data)
            connection.reply(bytes([code]) + output + WHOLE)
        except ValueError as problem:
            log.warning("request dropped: %s", problem)
            connection.drop()

    async def _answer(self, data: bytes) -> tuple[int, bytes]:
        head, mark, stdin = data.partition(b"\0\0")
        name, *pairs = head.decode().split("\0")
        if not mark:
            raise ValueError("request without an end of its environment")
        environment = dict(pair.split("=", 1) for pair in pairs)
        plugin = plugins.by_name(name)
        if plugin is None:
            return 1, CniError(INTERNAL, f"there is no plugin called {name}").to_json(LATEST)
        work = functools.partial(skel.answer, plugin, environment, stdin, self._host)
        async with self._turn(environment.get("CNI_CONTAINERID", "")):
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
            try:
                # Shielded: the thread cannot be interrupted, and its turn must last as long as it works.
                return await asyncio.wait_for(asyncio.shield(running), ANSWER_TIMEOUT)
            except asyncio.TimeoutError:
                late = CniError(TRY_AGAIN_LATER, f"{name} took longer than {ANSWER_TIMEOUT:.0f} s")
                return 1, late.to_json(LATEST)

    @contextlib.asynccontextmanager
    async def _turn(self, container_id: str) -> AsyncIterator[None]:
        lock, waiting = self._busy.get(container_id, (asyncio.Lock(), 0))
        self._busy[container_id] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._busy[container_id]
            if waiting == 1:
                del self._busy[container_id]
            else:
                self._busy[container_id] = (lock, waiting - 1)


class _Reaper:
    """Frees retired links in a thread of its own, many at a time."""

    def __init__(self) -> None:
        self._kernel = Netlink()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cni-reaper", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        self._wanted.set()

    def close(self) -> None:
        self._closing.set()
        self._wanted.set()
        self._thread.join(10)
        self._kernel.close()

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wanted.wait()
            # Asked before the pass: a link retired while one runs may be missed by it, so the last must begin after
            # `close`.
            closing = self._closing.wait(FREE_AFTER)
            self._wanted.clear()
            try:
                free_retired_now(self._kernel)
            except OSError as problem:
                log.warning("retired links stay: %s", problem)


class _Connection(asyncio.Protocol):
    """One request until its end of file, then one answer. An asker that went away is no trouble: its work is
    done.
    """

    def __init__(self, begin: Callable[[_Connection, bytes], None]) -> None:
        self._begin = begin
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._patience = asyncio.get_running_loop().call_later(READ_TIMEOUT, self.drop)
        if _peer(self._transport) not in (0, os.geteuid()):
            self.drop()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > REQUEST_LIMIT:
            log.warning("request of more than %d bytes dropped", REQUEST_LIMIT)
            self.drop()

    def eof_received(self) -> bool:
        if self._patience is not None:
            self._patience.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._begin(self, bytes(self._data))
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def reply(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            self._transport.close()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _peer(transport: asyncio.Transport) -> int:
    connection: socket.socket = transport.get_extra_info("socket")
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("=iII", packed)[1])
