"""Health check node ports under syncs that follow each other faster than sockets open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netproxy.health import Health, NodePortHealth
from tests.waiting import WHOLE


class Server:
    def __init__(self, port: int) -> None:
        self.port = port
        self.open = True

    def close(self) -> None:
        self.open = False


def test_the_newest_counts_win_whatever_was_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> list[Server]:
        made: list[Server] = []
        go_on = asyncio.Event()

        async def start_server(_serve: Any, _host: None, port: int) -> Server:
            await go_on.wait()
            made.append(Server(port))
            return made[-1]

        monkeypatch.setattr(asyncio, "start_server", start_server)
        ports = NodePortHealth(Health(60.0))
        first = asyncio.ensure_future(ports.update({30001: ("a", "b", 1)}))
        await asyncio.sleep(0)
        same = asyncio.ensure_future(ports.update({30001: ("a", "b", 2)}))
        none = asyncio.ensure_future(ports.update({30002: ("a", "c", 1)}))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, same, none)
        return made

    made = asyncio.run(asyncio.wait_for(scenario(), WHOLE))
    assert [(server.port, server.open) for server in made] == [(30001, False), (30002, True)]


def test_a_port_that_is_taken_is_told() -> None:
    async def scenario() -> tuple[int, list[tuple[str, str, str]]]:
        told: list[tuple[str, str, str]] = []
        taken = await asyncio.start_server(lambda *_: None, None, 0)
        port: int = taken.sockets[0].getsockname()[1]
        ports = NodePortHealth(Health(60.0), lambda *what: told.append(what))
        await ports.update({port: ("a", "b", 1)})
        await ports.close()
        taken.close()
        return port, told

    port, told = asyncio.run(asyncio.wait_for(scenario(), WHOLE))
    ((namespace, service, what),) = told
    assert (namespace, service) == ("a", "b") and what.startswith(f'failed to start healthcheck "a/b" on port {port}: ')


def test_a_taken_port_that_nobody_wants_any_more_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str, str]] = []
    ports = NodePortHealth(Health(60.0), lambda *what: told.append(what))

    async def taken(*_: object) -> None:
        ports.counts = {}
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(asyncio, "start_server", taken)
    asyncio.run(ports.update({1: ("a", "b", 1)}))
    assert told == []
