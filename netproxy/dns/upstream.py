"""One question to one server: UDP, and TCP for what does not fit. Every wait has an end."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from apimachinery.kit.tasks import within
from netproxy.dns import wire
from netproxy.dns.wire import Malformed, Response

UDP_SECONDS, TCP_SECONDS = 2.0, 4.0
Address = tuple[str, int]


async def ask(server: Address, name: str, kind: int, dnssec: bool) -> Response:
    """The server's whole answer. Raises OSError (TimeoutError too) or Malformed."""
    answer = await _over_udp(server, name, kind, dnssec)
    return await _over_tcp(server, name, kind, dnssec) if answer.truncated else answer


class _Exchange(asyncio.DatagramProtocol):
    """A socket for one question, so that its port is as hard to guess as its number."""

    def __init__(self, number: int, name: str, kind: int) -> None:
        self._expected = (number, name.lower(), kind)
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        try:
            response = wire.parse_response(data)
        except Malformed:
            return
        if (response.id, response.name, response.type) == self._expected and not self.answer.done():
            self.answer.set_result(response)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def _over_udp(server: Address, name: str, kind: int, dnssec: bool) -> Response:
    number = secrets.randbelow(1 << 16)
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(lambda: _Exchange(number, name, kind), remote_addr=server)
    try:
        transport.sendto(wire.query(name, kind, number, dnssec))
        await asyncio.wait((exchange.answer,), timeout=UDP_SECONDS)
        if not exchange.answer.done():
            raise TimeoutError(f"no answer from {server[0]} in {UDP_SECONDS:g} s")
        return exchange.answer.result()
    finally:
        exchange.answer.cancel()
        transport.close()


async def _over_tcp(server: Address, name: str, kind: int, dnssec: bool) -> Response:
    async def exchange() -> Response:
        reader, writer = await asyncio.open_connection(*server)
        try:
            number = secrets.randbelow(1 << 16)
            message = wire.query(name, kind, number, dnssec)
            writer.write(len(message).to_bytes(2, "big") + message)
            size = int.from_bytes(await reader.readexactly(2), "big")
            response = wire.parse_response(await reader.readexactly(size))
        finally:
            writer.close()
        if (response.id, response.name, response.type) != (number, name.lower(), kind):
            raise Malformed("an answer to another question")
        return response

    try:
        return await within(exchange(), TCP_SECONDS)
    except (asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
        raise TimeoutError(f"no whole answer from {server[0]} over TCP") from error
