"""Datagrams relayed: each client has a socket towards its endpoint, for as long as there is something to say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

from netproxy.userspace.plan import Listener, Target
from netproxy.userspace.tcp import bound_socket

IDLE_SECONDS = 60.0
"""after which a silent client's next datagram is a new beginning"""
_MOST_CLIENTS = 4096
"""of one listener; the one who was silent longest makes place"""
_MOST_WAITING = 64
"""datagrams kept while a client's socket is being opened"""

Choose = Callable[[str], Sequence[Target]]
Peer = Any
"""a socket address as the loop gives it"""


async def serve(listener: Listener, choose: Choose) -> Relayed:
    """Relay until the result is closed. Raises OSError."""
    loop = asyncio.get_running_loop()
    handle = bound_socket(listener)
    _, relayed = await loop.create_datagram_endpoint(lambda: Relayed(choose), sock=handle)
    return relayed


class Relayed(asyncio.DatagramProtocol):
    """One listener and its clients."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._clients: dict[Peer, _Client] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: Peer) -> None:
        client = self._clients.get(peer)
        if client is None:
            targets = self._choose(peer[0])
            if not targets:
                return
            if len(self._clients) >= _MOST_CLIENTS:
                self._forget(next(iter(self._clients)))
            client = _Client(self, peer, targets[0])
        else:
            # Who speaks goes to the end of the line of those who may have to make place.
            del self._clients[peer]
        self._clients[peer] = client
        client.send(data)

    def answer(self, data: bytes, peer: Peer) -> None:
        """An endpoint's words to its client."""
        if self._transport and not self._transport.is_closing():
            self._transport.sendto(data, peer)

    def forget(self, peer: Peer, client: _Client) -> None:
        """The client was silent, or its endpoint is gone."""
        if self._clients.get(peer) is client:
            self._forget(peer)

    def only(self, targets: Collection[Target]) -> None:
        """Endpoints that are not among these are gone: their clients choose anew with their next datagram."""
        for peer in [peer for peer, client in self._clients.items() if client.target not in targets]:
            self._forget(peer)

    def close(self) -> None:
        """Hear nobody any more."""
        for peer in list(self._clients):
            self._forget(peer)
        if self._transport:
            self._transport.close()

    def _forget(self, peer: Peer) -> None:
        self._clients.pop(peer).close()


class _Client(asyncio.DatagramProtocol):
    """One client's socket towards its endpoint."""

    def __init__(self, relayed: Relayed, peer: Peer, target: Target) -> None:
        self.target = target
        self._relayed = relayed
        self._peer = peer
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: list[bytes] = []
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(self._open())
        self._last = loop.time()
        self._timer = loop.call_later(IDLE_SECONDS, self._look)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: self, remote_addr=self.target)
        except OSError:
            self._relayed.forget(self._peer, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()

    def send(self, data: bytes) -> None:
        """The client's words."""
        self._last = asyncio.get_running_loop().time()
        if self._transport:
            self._transport.sendto(data)
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append(data)

    def datagram_received(self, data: bytes, _peer: Peer) -> None:
        self._last = asyncio.get_running_loop().time()
        self._relayed.answer(data, self._peer)

    def error_received(self, _error: Exception) -> None:
        self._relayed.forget(self._peer, self)

    def close(self) -> None:
        """Nothing more either way."""
        self._timer.cancel()
        self._opening.cancel()
        if self._transport:
            with contextlib.suppress(OSError):
                self._transport.close()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        rest = self._last + IDLE_SECONDS - loop.time()
        if rest > 0:
            self._timer = loop.call_later(rest, self._look)
        else:
            self._relayed.forget(self._peer, self)
