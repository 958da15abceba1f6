"""etcd's members: every call and the watch go to one of them, until it fails; then to the next.

One at a time, so that what a read has seen on a member its watch is told by the same one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio

from controlplane.store.etcd.errors import translated
from controlplane.store.model import Place, StoreError, Unavailable

log = logging.getLogger(__name__)

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A member that is back must be found at once, not after gRPC's default two minutes of back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long an attempt may take, despite its name: a member on a busy machine takes its time to greet, and one that
    # was cut off must not wait long after it can be reached again.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
    # etcd refuses pings more often than every 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_LOOPBACK = ("127.", "[::1]", "localhost")
# A member cut off from its leader says so instead of waiting for it.
_METADATA = grpc.aio.Metadata(("hasleader", "true"))


class Message(Protocol):
    def SerializeToString(self) -> bytes: ...


R = TypeVar("R")


def target(server: str) -> tuple[str, bool]:
    """host:port and whether TLS is spoken. Raises StoreError."""
    scheme, mark, rest = server.rpartition("://")
    rest = rest.rstrip("/")
    if mark and scheme not in ("http", "https"):
        raise StoreError(f"etcd_servers: {server!r} is no URL of http or https")
    if not rest or ":" not in rest or "/" in rest:
        raise StoreError(f"etcd_servers: {server!r} names no host and port, as https://10.0.0.1:2379 does")
    return rest, scheme == "https"


class Members:
    """Opened lazily by the first call."""

    def __init__(self, place: Place) -> None:
        if not place.servers:
            raise StoreError("the store etcd needs etcd_servers, as https://10.0.0.1:2379")
        self._servers = place.servers
        self._targets = [target(server) for server in place.servers]
        self._credentials = _credentials(place) if any(secure for _, secure in self._targets) else None
        for address, secure in self._targets:
            if not secure and not address.startswith(_LOOPBACK):
                log.warning("etcd at %s is reached without TLS: whoever is in between can read and write all", address)
        # A channel belongs to the loop on which it was made.
        self._channels: dict[int, Any] = {}
        self._current = 0
        self.turn = 0
        """How often another member, or the same one again, was made the current one."""
        self._stubs: dict[tuple[int, str], Any] = {}
        self._streams: set[Any] = set()

    @property
    def server(self) -> str:
        """Who is asked now."""
        return self._servers[self._current]

    async def call(self, path: str, request: Message, answer: type[R], timeout: float) -> R:
        """One request to the current member, once. path is Service/Method; timeout in seconds.

        Raises Unavailable (the next member is current then), Compacted, Full, StoreError.
        """
        at = self._current
        stub = self._stubs.get((at, path))
        if stub is None:
            stub = self._channel(at).unary_unary(
                f"/etcdserverpb.{path}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answer.FromString,  # type: ignore[attr-defined]
            )
            self._stubs[at, path] = stub
        try:
            found: R = await stub(request, timeout=timeout, metadata=_METADATA)
        except grpc.aio.AioRpcError as error:
            raise self._failed(at, error) from error
        return found

    async def stream(self, path: str, request: Message, answer: type[R]) -> AsyncIterator[R]:
        """One request, then answers without end; ended with Unavailable when another member becomes current."""
        at, over = self._current, asyncio.Event()

        async def requests() -> AsyncIterator[Message]:
            yield request
            # Nothing more is asked, and the stream stays open.
            await over.wait()

        # The request is handed over and not written: a write to a call that is cancelled before it is connected waits
        # for ever (grpc 1.85).
        call = self._channel(at).stream_stream(
            f"/etcdserverpb.{path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,  # type: ignore[attr-defined]
        )(requests(), metadata=_METADATA)
        self._streams.add(call)
        try:
            while (item := await call.read()) is not grpc.aio.EOF:
                yield item
            raise Unavailable(f"etcd at {self._servers[at]} ended a watch")
        except grpc.aio.AioRpcError as error:
            raise self._failed(at, error) from error
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            raise Unavailable(f"etcd at {self._servers[at]} ended a watch") from error
        except asyncio.CancelledError:
            if call not in self._streams:
                # It was not its reader who was cancelled.
                raise Unavailable(f"etcd at {self._servers[at]} is not asked any more") from None
            raise
        finally:
            self._streams.discard(call)
            over.set()
            call.cancel()

    def move(self) -> None:
        """Ask the next member from now on, and end the streams of this one."""
        self._current = (self._current + 1) % len(self._servers)
        self.turn += 1
        streams, self._streams = self._streams, set()
        for call in streams:
            call.cancel()

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    def _channel(self, at: int) -> Any:
        found = self._channels.get(at)
        if found is None:
            address, secure = self._targets[at]
            found = self._channels[at] = (
                grpc.aio.secure_channel(address, self._credentials, options=_OPTIONS)
                if secure
                else grpc.aio.insecure_channel(address, options=_OPTIONS)
            )
        return found

    def _failed(self, at: int, error: grpc.aio.AioRpcError) -> StoreError:
        found = translated(error.code().name, error.details() or "", self._servers[at])
        if isinstance(found, Unavailable) and at == self._current:
            log.debug("%s", found)
            self.move()
        return found


def _credentials(place: Place) -> Any:
    files = (place.ca_file, place.key_file, place.cert_file)
    try:
        return grpc.ssl_channel_credentials(*(path.read_bytes() if path else None for path in files))
    except OSError as error:
        raise StoreError(f"cannot read what proves this server to etcd: {error}") from error
