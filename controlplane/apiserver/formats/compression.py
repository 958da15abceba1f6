"""gzip of answers above 128 KiB for clients that take it, at the level that costs least: what upstream does."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

THRESHOLD_BYTES = 128 * 1024
_GZIP_WINDOW = 31


def accepts_gzip(headers: Mapping[str, str]) -> bool:
    """Whether Accept-Encoding names gzip; with a quality it is another token, as upstream reads it."""
    return "gzip" in (token.strip() for token in headers.get("Accept-Encoding", "").split(","))


def gzipped(body: bytes) -> bytes:
    """For a thread where the body is long: the library lets go of the interpreter meanwhile."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()
