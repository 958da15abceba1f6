"""One exec session, between a client's WebSocket and a runtime that both have minds of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from aiohttp import WSMessage, WSMsgType, web

from agent.server import channels, spdy
from agent.server.dial import Streams
from agent.server.remotecommand import Wanted, _Session
from tests.waiting import SECONDS


class Client:
    """Sends `input` and then nothing; keeps what it is sent."""

    ws_protocol = channels.V4

    def __init__(self, *messages: bytes) -> None:
        self._messages = list(messages)
        self.got: list[bytes] = []

    def __aiter__(self) -> Client:
        return self

    async def __anext__(self) -> WSMessage:
        if not self._messages:
            await asyncio.Event().wait()
        return WSMessage(WSMsgType.BINARY, self._messages.pop(0), None)

    async def send_bytes(self, data: bytes) -> None:
        self.got.append(data)


class Ended:
    """A runtime whose command has ended: it takes no input, and its last words are still on their way."""

    def __init__(self) -> None:
        self._opened = 0
        self._refused = asyncio.Event()

    async def open(self, headers: Mapping[str, str]) -> int:
        self._opened += 2
        return self._opened - 1

    async def send(self, stream: int, data: bytes, fin: bool = False) -> None:
        self._refused.set()
        raise ConnectionResetError("nobody reads any more")

    async def frames(self) -> AsyncIterator[spdy.Frame]:
        await self._refused.wait()
        for _ in range(5):  # whoever would give up now gets the time to
            await asyncio.sleep(0)
        yield spdy.Data(5, b"last words", True)
        yield spdy.Data(1, b"status", True)


def test_input_that_comes_too_late_costs_no_output() -> None:
    async def scenario() -> list[bytes]:
        client, runtime = Client(b"\0first", b"\0second"), Ended()
        session = _Session(cast(web.WebSocketResponse, client), cast(Streams, cast(Any, runtime)))
        await session.open(Wanted(stdin=True, stdout=True))
        await asyncio.wait_for(session.run(), SECONDS)
        return client.got

    assert asyncio.run(scenario()) == [b"\1", b"\1last words", b"\3status"]
