"""The daemon told to stop in the middle of its work."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from cni import plugins
from cni.daemon import Daemon
from cni.host import Host
from cni.skel import Plugin, Request
from cni.types import Result
from tests.cni import kernel

pytestmark = pytest.mark.kernel
REQUEST = b"slow\0CNI_COMMAND=DEL\0CNI_CONTAINERID=c\0CNI_IFNAME=eth0\0CNI_PATH=/x\0\0"
CONFIG = b'{"cniVersion": "1.0.0", "name": "n"}'


async def ask(socket: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(REQUEST + CONFIG)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


def test_requests_at_work_and_in_the_queue_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def delete(request: Request, host: Host) -> None:
        begun.set()
        assert go_on.wait(60)
        done.append(request.container_id)

    def nothing(request: Request, host: Host) -> None:
        raise AssertionError

    def add(request: Request, host: Host) -> Result:
        raise AssertionError

    slow = Plugin("slow", add, delete, nothing, nothing, nothing)
    monkeypatch.setattr(plugins, "by_name", {"slow": slow}.get)

    async def scenario() -> list[bytes]:
        daemon = Daemon(tmp_path / "cni.sock", tmp_path / "data")
        await daemon.start()
        # Two for one container: the second waits for the first.
        asking = [asyncio.ensure_future(ask(tmp_path / "cni.sock")) for _ in range(2)]
        while len(daemon._at_work) < 2 or not begun.is_set():
            await asyncio.sleep(0.01)
        stopping = asyncio.ensure_future(daemon.stop())
        await asyncio.sleep(0)
        go_on.set()
        await stopping
        return await asyncio.gather(*asking)

    with kernel.namespaces(1, "d") as (node,):
        assert kernel.inside(node, scenario) == [b"\0\0", b"\0\0"]
    assert done == ["c", "c"]
