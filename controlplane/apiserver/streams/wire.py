"""HTTP/1.1 as far as a relay needs it: request heads out, response heads and bodies in (RFC 9112).

Functions over values and over an `asyncio.StreamReader`; nothing here opens or closes a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from controlplane.apiserver.request import CutShort

HEAD_LIMIT = 64 * 1024
PIECE = 64 * 1024
# Headers about one connection; they end at every relay (RFC 9110, section 7.6.1).
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class WireError(CutShort):
    """The other side did not speak HTTP/1.1."""


@dataclass(frozen=True)
class Head:
    """A response head; header names in lower case, `raw` as received."""

    status: int
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def is_chunked(self) -> bool:
        return "chunked" in self.get("transfer-encoding").lower()


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """A message's headers without those about its connection: those known as such, and those that its Connection header
    names.
    """
    said = list(headers)
    named = {word.strip().lower() for name, value in said if name.lower() == "connection" for word in value.split(",")}
    # How a body is framed is no matter of what is named.
    ended = _HOP_BY_HOP | (named - {"content-length"})
    return [(name, value) for name, value in said if name.lower() not in ended]


def request_head(method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a request's head. Raises WireError for text that would break out of its line."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise WireError("line break in a request head")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", errors="replace")


def parse_head(raw: bytes) -> Head:
    """A response head that ends with an empty line."""
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise WireError(f"not an HTTP/1.1 answer: {first[:60]!r}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise WireError(f"broken header line: {line[:60]!r}")
        headers.append((name.strip().lower(), value.strip()))
    return Head(int(rest[:3]), tuple(headers), raw)


async def read_head(reader: asyncio.StreamReader) -> Head:
    """The next response head that is not informational (101 ends the HTTP part and counts). Raises WireError."""
    while True:
        try:
            head = parse_head(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            raise WireError("the connection ended before an answer came") from error
        except asyncio.LimitOverrunError as error:
            raise WireError("the answer's head is too long") from error
        if head.status >= 200 or head.status == 101:
            return head


async def read_body(reader: asyncio.StreamReader, head: Head) -> AsyncIterator[bytes]:
    """The pieces of a response body as they arrive. Raises WireError when it is cut short."""
    if head.status in (204, 304):
        return
    if head.is_chunked:
        async for piece in _chunks(reader):
            yield piece
        return
    length = head.get("content-length")
    left = int(length) if length.isdigit() else None
    while left is None or left > 0:
        piece = await reader.read(PIECE if left is None else min(PIECE, left))
        if not piece:
            if left:
                raise WireError(f"the answer ended {left} bytes early")
            return
        left = None if left is None else left - len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while True:
            size = _size(await reader.readuntil(b"\r\n"))
            if size == 0:
                while await reader.readuntil(b"\r\n") != b"\r\n":
                    pass  # trailers
                return
            while size:
                piece = await reader.readexactly(min(size, PIECE))
                size -= len(piece)
                yield piece
            await reader.readexactly(2)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise WireError("the answer ended inside a chunk") from error


def _size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0].strip(), 16)
    except ValueError as error:
        raise WireError(f"broken chunk size: {line[:20]!r}") from error
