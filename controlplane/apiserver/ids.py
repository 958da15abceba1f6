"""Random UUIDs, out of randomness fetched many at a time: a system call each would cost more than the rest."""

from __future__ import annotations

import os

_BATCH = 256
_pool = bytearray()


def new() -> str:
    """A version 4 UUID. Not for other threads than the loop's."""
    if len(_pool) < 16:
        _pool.extend(os.urandom(16 * _BATCH))
    raw = _pool[-16:]
    del _pool[-16:]
    # Version and variant (RFC 9562, section 5.4); uuid.UUID takes five times as long, and each request has an id.
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
