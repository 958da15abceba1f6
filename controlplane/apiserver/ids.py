"""Random UUIDs, out of randomness fetched many at a time: a system call each would cost more than the rest."""

from __future__ import annotations

import os
import uuid

_BATCH = 256
_pool = bytearray()


def new() -> str:
    """A version 4 UUID. Not for other threads than the loop's."""
    if len(_pool) < 16:
        _pool.extend(os.urandom(16 * _BATCH))
    raw = bytes(_pool[-16:])
    del _pool[-16:]
    return str(uuid.UUID(bytes=raw, version=4))
