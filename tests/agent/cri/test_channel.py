"""The channel to a runtime that is slow, or away for a moment."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.cri.channel import Channel
from agent.cri.errors import CriUnavailable
from tests.waiting import until

METHOD = "/test.Runtime/Echo"


async def served(socket: Path) -> grpc.aio.Server:
    """A runtime that says what it was told."""

    async def echo(request: bytes, _context: object) -> bytes:
        return request

    server = grpc.aio.server()
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Runtime", handlers),))
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    return server


async def asked(channel: Channel) -> bytes:
    return await channel.call(METHOD, b"hello", bytes, 20.0)


async def late(socket: Path, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    """Passes on what comes, 1.5 s late."""
    await asyncio.sleep(1.5)
    answers, questions = await asyncio.open_unix_connection(socket)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()

    await asyncio.gather(pump(reader, questions), pump(answers, writer))


def test_a_runtime_that_takes_its_time_to_greet_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        real, slow = tmp_path / "real", tmp_path / "slow"
        server, channel = await served(real), Channel(slow)
        front = await asyncio.start_unix_server(lambda reader, writer: late(real, writer, reader), slow)
        try:
            assert await asked(channel) == b"hello"
        finally:
            await channel.close()
            front.close()
            await server.stop(None)

    asyncio.run(main())


def test_a_runtime_that_was_restarted_is_found_again(tmp_path: Path) -> None:
    async def main() -> None:
        socket = tmp_path / "socket"
        server, channel = await served(socket), Channel(socket)

        async def answers() -> bool:
            with contextlib.suppress(CriUnavailable):
                return await asked(channel) == b"hello"
            return False

        async def refuses() -> bool:
            return not await answers()

        try:
            assert await answers()
            await server.stop(None)
            await until(refuses)
            socket.unlink(missing_ok=True)
            server = await served(socket)
            await until(answers)
        finally:
            await channel.close()
            await server.stop(None)

    asyncio.run(main())


def test_calls_of_a_channel_that_is_closed_fail_as_those_of_a_peer_that_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        silent = await asyncio.start_unix_server(lambda _reader, _writer: None, tmp_path / "socket")
        channel = Channel(tmp_path / "socket")
        waiting, given_up = asyncio.ensure_future(asked(channel)), asyncio.ensure_future(asked(channel))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.wait((given_up,))
        assert given_up.cancelled()
        await channel.close()
        # Whoever waited is not cancelled: it has more to do than this call.
        with pytest.raises(CriUnavailable):
            await waiting
        with pytest.raises(CriUnavailable):
            await asked(channel)
        silent.close()

    asyncio.run(main())
