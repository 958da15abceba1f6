"""Dialling what stands behind an object: the agent of a node, or an address that is proxied to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from apimachinery import errors
from apimachinery.kinds import NODE
from apimachinery.objects import Obj
from controlplane.apiserver.streams import wire

CONNECT_SECONDS = 10.0
HEAD_SECONDS = 30.0
CLOSE_SECONDS = 2.0
AGENT_PORT = 10250
# Which of a node's addresses is dialled, best first.
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname")
# A peer that vanished without a word is noticed after 30 + 3 * 10 seconds of silence.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


@dataclass(frozen=True)
class Address:
    """Where to dial; `tls` None is plain text. name: whom its certificate must name, where that is not the host."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    name: str = ""

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Connection:
    """An open connection whose request has been sent and whose answer's head has been read."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: wire.Head

    async def body(self) -> AsyncIterator[bytes]:
        """The answer's body; the connection closes with it, or with the iterator. Raises WireError when it is cut
        short.
        """
        try:
            async for piece in wire.read_body(self.reader, self.head):
                yield piece
        except OSError as error:
            raise wire.WireError(_why(error)) from error
        finally:
            await self.close()

    async def text(self, limit: int = 50_000) -> str:
        """The start of the body, for an error message."""
        out = b""
        with contextlib.suppress(wire.WireError, OSError, asyncio.TimeoutError):
            async for piece in self.body():
                out += piece
                if len(out) >= limit:
                    break
        return out[:limit].decode(errors="replace").strip()

    async def close(self) -> None:
        await close(self.writer)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close and wait a moment for it; a peer that does not answer is cut off."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)
    except (OSError, ssl.SSLError, asyncio.TimeoutError):
        writer.transport.abort()


def client_context(certificate: Path | None, key: Path | None, authority: Path | None) -> ssl.SSLContext:
    """The TLS side of the server as a client of agents.

    Without an authority the agents' certificates are not judged, as in upstream without
    --kubelet-certificate-authority.
    """
    if authority is not None:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(authority))
    else:
        # The default context would read all authorities of the machine, some 30 ms, to judge nobody by them.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate and key:
        context.load_cert_chain(certificate, key)
    return context


def agent_address(node: Obj, tls: ssl.SSLContext | None) -> Address:
    """Where a node's agent listens. Raises InternalError when the node has told no address yet."""
    status = node.get("status") or {}
    found = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or ())}
    host = next((found[kind] for kind in ADDRESS_TYPES if found.get(kind)), None)
    if not host:
        name = node["metadata"]["name"]
        raise errors.InternalError(f"no preferred addresses found; known addresses: [] of node {name}", reason="")
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or AGENT_PORT
    return Address(host, int(port), tls)


class Agents:
    """Dials the agents of nodes. `find` looks a node up by name; None when there is none."""

    def __init__(self, find: Callable[[str], Obj | None], tls: ssl.SSLContext | None) -> None:
        self._find = find
        self._tls = tls

    def address(self, node: str) -> Address:
        found = self._find(node)
        if found is None:
            raise errors.not_found(NODE.plural, node)
        return agent_address(found, self._tls)

    async def call(self, node: str, method: str, path: str, headers: Iterable[tuple[str, str]]) -> Connection:
        return await call(self.address(node), method, path, headers)


async def call(
    address: Address,
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]],
    body: AsyncIterator[bytes] | None = None,
) -> Connection:
    """Connect, send a request and read the head of the answer, each with a deadline. Raises InternalError.

    A `body` is sent chunked unless the headers say its length.
    """
    reader, writer = await dial(address)
    try:
        sent = list(headers)
        writer.write(wire.request_head(method, path, [("Host", address.authority), *sent]))
        if body is not None:
            await _send(writer, body, chunked=not any(name.lower() == "content-length" for name, _ in sent))
        head = await asyncio.wait_for(wire.read_head(reader), HEAD_SECONDS)
    except (wire.WireError, OSError, asyncio.TimeoutError) as error:
        await close(writer)
        raise errors.InternalError(f"error talking to {address.authority}: {_why(error)}", reason="") from error
    except BaseException:
        writer.transport.abort()
        raise
    return Connection(reader, writer, head)


async def _send(writer: asyncio.StreamWriter, body: AsyncIterator[bytes], chunked: bool) -> None:
    async for piece in body:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")


async def dial(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open connection. Raises InternalError in upstream's words when there is none to be had in time."""
    opening = asyncio.open_connection(
        address.host,
        address.port,
        ssl=address.tls,
        server_hostname=(address.name or address.host) if address.tls else None,
        limit=wire.HEAD_LIMIT,
    )
    try:
        reader, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
    except (OSError, asyncio.TimeoutError) as error:
        text = f"error dialing backend: dial tcp {address.authority}: {_why(error)}"
        raise errors.InternalError(text, reason="") from error
    keep_alive(writer.get_extra_info("socket"))
    return reader, writer


def keep_alive(sock: socket.socket | None) -> None:
    if sock is None:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _why(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "i/o timeout"
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    return str(error) or type(error).__name__
