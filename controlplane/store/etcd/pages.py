"""Everything below a prefix at one revision, some keys at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from controlplane.store.etcd import rpc_pb2 as rpc

PAGE = 500
"""Keys in one answer: some MB of objects."""

R = TypeVar("R")
Ask = Callable[[str, rpc.RangeRequest, type[rpc.RangeResponse]], Awaitable[rpc.RangeResponse]]


def end_of(prefix: bytes) -> bytes:
    """What follows everything that begins with a prefix, as etcd's ranges are given."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


async def read(
    ask: Ask, prefix: bytes, revision: int = 0, keys_only: bool = False
) -> AsyncIterator[tuple[Sequence[rpc.KeyValue], int]]:
    """Pages in key order, and the revision that all of them show: the given one, or (0) that of the first.

    Raises Compacted when it goes while this is read.
    """
    at = revision
    begin, end = prefix, end_of(prefix)
    while True:
        request = rpc.RangeRequest(key=begin, range_end=end, limit=PAGE, revision=at, keys_only=keys_only)
        answer = await ask("KV/Range", request, rpc.RangeResponse)
        at = at or answer.header.revision
        yield answer.kvs, at
        if not answer.more:
            return
        begin = answer.kvs[-1].key + b"\0"
