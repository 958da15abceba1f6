"""One gRPC channel to the runtime: unary calls with a deadline, server streams, errors translated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio

from agent.cri.errors import CriError, cri_error

_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    # A restarted containerd must be found again at once, not after gRPC's default two minutes of back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # How long an attempt may take, despite its name: on a slow machine the two take seconds to greet each other.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.enable_http_proxy", 0),
    # Unix sockets would otherwise send the socket path as :authority, which Go servers refuse.
    ("grpc.default_authority", "localhost"),
)


class Message(Protocol):
    def SerializeToString(self) -> bytes: ...


R = TypeVar("R")


def _camel(code: grpc.StatusCode) -> str:
    return "".join(part.capitalize() for part in code.name.split("_")).replace("Cancelled", "Canceled")


def _translate(method: str, error: grpc.aio.AioRpcError) -> CriError:
    return cri_error(method, _camel(error.code()), error.details() or "")


def _gone(path: str) -> CriError:
    return cri_error(path.rpartition("/")[2], "Unavailable", "the connection was closed")


class Channel:
    """Opened lazily by the first call; reconnects by itself."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._channel = grpc.aio.insecure_channel(f"unix://{socket.absolute()}", options=_OPTIONS)
        self._unary: dict[str, Any] = {}
        self._closed = False

    async def call(
        self,
        path: str,
        request: Message | bytes,
        decode: Callable[[bytes], R],
        timeout: float,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> R:
        """One request, one answer. `path` is `/package.Service/Method`; `timeout` in seconds. Raises CriError, and what
        `decode` raises.
        """
        if self._closed:
            raise _gone(path)
        stub = self._unary.get(path)
        if stub is None:
            stub = self._channel.unary_unary(path)
            self._unary[path] = stub
        try:
            body = request if isinstance(request, bytes) else request.SerializeToString()
            answer = await stub(body, timeout=timeout, metadata=headers or None)
        except asyncio.CancelledError:
            # The library cancels calls whose channel is closed: the peer is gone, and whoever waits is to go on.
            if self._closed:
                raise _gone(path) from None
            raise
        except grpc.aio.AioRpcError as error:
            raise _translate(path.rpartition("/")[2], error) from error
        return decode(answer)

    async def stream(self, path: str, request: bytes, decode: Callable[[bytes], R]) -> AsyncIterator[R]:
        """A server stream without end; ends by error, when the runtime leaves, or by cancellation."""
        call = self._channel.unary_stream(path)(request)
        try:
            async for item in call:
                yield decode(item)
        except grpc.aio.AioRpcError as error:
            raise _translate(path.rpartition("/")[2], error) from error
        finally:
            call.cancel()

    async def connectivity(self) -> AsyncIterator[bool]:
        """Whether somebody is connected, now and after each change; a connection that ended is tried again."""
        while True:
            state = self._channel.get_state(try_to_connect=True)
            yield state is grpc.ChannelConnectivity.READY
            await self._channel.wait_for_state_change(state)

    async def close(self) -> None:
        """Calls under way fail as those of a peer that went away."""
        self._closed = True
        await self._channel.close()
