"""SPDY/3.1 frames as values: bytes in, frames out and back. No sockets, no clock.

Source: the SPDY protocol draft 3.1. What exec, attach and port-forward use of it: SYN_STREAM, SYN_REPLY, data,
RST_STREAM, PING, GOAWAY. SETTINGS, HEADERS and WINDOW_UPDATE are understood and passed on; neither kubectl nor
containerd applies flow control. Header blocks of one direction share one zlib stream, so every block must go through
the same Codec in order, wanted or not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

VERSION = 3
FIN = 0x01
_CONTROL = 0x8000
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW = 1, 2, 3, 4, 6, 7, 8, 9
_ID = 0x7FFFFFFF
_MAX_LENGTH = 0xFFFFFF
# A block of headers larger than this is an attack, not a request.
_MAX_HEADERS = 1 << 20

# The dictionary both ends prime zlib with: length-prefixed header names and values, then loose text.
_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
    "age allow authorization cache-control connection content-base content-encoding content-language "
    "content-length content-location content-md5 content-range content-type date etag expect expires from host "
    "if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding "
    "upgrade user-agent vary via warning www-authenticate method get status"
)
_PREFIXED = _NAMES.split()
_PREFIXED += ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
_LOOSE = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.encode() for w in _PREFIXED) + _LOOSE.encode()


class SpdyError(Exception):
    """The other side broke the protocol; the connection cannot go on."""


@dataclass(frozen=True)
class SynStream:
    stream: int
    headers: Mapping[str, str]
    fin: bool = False
    associated: int = 0
    priority: int = 0


@dataclass(frozen=True)
class SynReply:
    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True)
class Headers:
    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True)
class Data:
    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True)
class RstStream:
    stream: int
    status: int


@dataclass(frozen=True)
class Ping:
    id: int


@dataclass(frozen=True)
class GoAway:
    last_stream: int
    status: int = 0


@dataclass(frozen=True)
class WindowUpdate:
    stream: int
    delta: int


@dataclass(frozen=True)
class Settings:
    """(flags, id, value) triples."""

    entries: tuple[tuple[int, int, int], ...]
    flags: int = 0


Frame = SynStream | SynReply | Headers | Data | RstStream | Ping | GoAway | WindowUpdate | Settings


class Codec:
    """One end of one connection."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()

    def encode(self, frame: Frame) -> bytes:
        """The frame's bytes, to be sent before those of any later call."""
        if isinstance(frame, Data):
            return self._data(frame)
        if isinstance(frame, SynStream):
            head = struct.pack(">IIBB", frame.stream, frame.associated, frame.priority << 5, 0)
            return _control(_SYN_STREAM, FIN if frame.fin else 0, head + self._pack(frame.headers))
        if isinstance(frame, SynReply | Headers):
            kind = _SYN_REPLY if isinstance(frame, SynReply) else _HEADERS
            body = struct.pack(">I", frame.stream) + self._pack(frame.headers)
            return _control(kind, FIN if frame.fin else 0, body)
        if isinstance(frame, RstStream):
            return _control(_RST_STREAM, 0, struct.pack(">II", frame.stream, frame.status))
        if isinstance(frame, Ping):
            return _control(_PING, 0, struct.pack(">I", frame.id))
        if isinstance(frame, GoAway):
            return _control(_GOAWAY, 0, struct.pack(">II", frame.last_stream, frame.status))
        if isinstance(frame, WindowUpdate):
            return _control(_WINDOW, 0, struct.pack(">II", frame.stream, frame.delta))
        entries = b"".join(struct.pack(">II", flags << 24 | id, value) for flags, id, value in frame.entries)
        return _control(_SETTINGS, frame.flags, struct.pack(">I", len(frame.entries)) + entries)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames completed by `data`. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[5:8], "big")
            if len(self._buffer) < 8 + length:
                return
            head = int.from_bytes(self._buffer[:4], "big")
            flags, body = self._buffer[4], bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            frame = self._decode(head, flags, body)
            if frame is not None:
                yield frame

    def _data(self, frame: Data) -> bytes:
        pieces = range(0, len(frame.data), _MAX_LENGTH) or range(1)
        out = []
        for start in pieces:
            piece = frame.data[start : start + _MAX_LENGTH]
            last = start + _MAX_LENGTH >= len(frame.data)
            flags = FIN if frame.fin and last else 0
            out.append(struct.pack(">II", frame.stream & _ID, flags << 24 | len(piece)) + piece)
        return b"".join(out)

    def _decode(self, head: int, flags: int, body: bytes) -> Frame | None:
        if not head >> 31:
            return Data(head & _ID, body, bool(flags & FIN))
        version, kind = head >> 16 & 0x7FFF, head & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"version {version} is not spoken here")
        try:
            return self._control_frame(kind, flags, body)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"broken frame of type {kind}: {error}") from error

    def _control_frame(self, kind: int, flags: int, body: bytes) -> Frame | None:
        fin = bool(flags & FIN)
        if kind == _SYN_STREAM:
            stream, associated, priority = struct.unpack_from(">IIB", body)
            return SynStream(stream & _ID, self._unpack(body[10:]), fin, associated & _ID, priority >> 5)
        if kind in (_SYN_REPLY, _HEADERS):
            (stream,) = struct.unpack_from(">I", body)
            make = SynReply if kind == _SYN_REPLY else Headers
            return make(stream & _ID, self._unpack(body[4:]), fin)
        if kind == _PING:
            return Ping(*struct.unpack(">I", body))
        if kind == _SETTINGS:
            (count,) = struct.unpack_from(">I", body)
            pairs = [struct.unpack_from(">II", body, 4 + 8 * index) for index in range(count)]
            return Settings(tuple((a >> 24, a & 0xFFFFFF, value) for a, value in pairs), flags)
        two = {_RST_STREAM: RstStream, _GOAWAY: GoAway, _WINDOW: WindowUpdate}
        if kind in two:
            first, second = struct.unpack(">II", body)
            frame: Frame = two[kind](first & _ID, second)
            return frame
        # An unknown control frame must be ignored.
        return None

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        out = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                out.append(struct.pack(">I", len(text)) + text)
        return self._deflate.compress(b"".join(out)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _unpack(self, block: bytes) -> dict[str, str]:
        raw = self._inflate.decompress(block, _MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise SpdyError("header block too large")
        (count,) = struct.unpack_from(">I", raw)
        offset, texts = 4, []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", raw, offset)
            if offset + 4 + length > len(raw):
                raise SpdyError("truncated header block")
            texts.append(raw[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", _CONTROL | VERSION, kind, flags << 24 | len(body)) + body
