"""What is asked of etcd, repeated until a member answers or ten seconds are over. Only what may be asked twice."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.etcd.errors import Compacted
from controlplane.store.etcd.members import Members, Message
from controlplane.store.etcd.pages import end_of
from controlplane.store.model import Unavailable

ATTEMPT, DEADLINE, PAUSE = 3.0, 10.0, 0.05
"""Seconds: until another member is asked, until it is given up, between two attempts."""

R = TypeVar("R")


class Calls:
    def __init__(self, members: Members) -> None:
        self.members = members

    async def ask(self, path: str, request: Message, answer: type[R]) -> R:
        """Raises Compacted, Full, Unavailable, StoreError."""
        loop = asyncio.get_running_loop()
        end = loop.time() + DEADLINE
        while True:
            try:
                return await self.members.call(path, request, answer, ATTEMPT)
            except Unavailable:
                if loop.time() > end:
                    raise
                await asyncio.sleep(PAUSE)

    async def newest(self) -> int:
        """The newest revision that any member has acknowledged: a read that a majority vouches for."""
        request = rpc.RangeRequest(key=b"\0", count_only=True)
        return (await self.ask("KV/Range", request, rpc.RangeResponse)).header.revision

    async def oldest(self, low: int, high: int) -> int:
        """The oldest revision between two that is kept; high is."""
        while low < high:
            middle = (low + high) // 2
            try:
                request = rpc.RangeRequest(key=b"\0", count_only=True, revision=middle)
                await self.ask("KV/Range", request, rpc.RangeResponse)
                high = middle
            except Compacted:
                low = middle + 1
        return low

    async def value(self, key: bytes) -> bytes | None:
        """What lies under one key."""
        found = (await self.ask("KV/Range", rpc.RangeRequest(key=key), rpc.RangeResponse)).kvs
        return found[0].value if found else None

    async def count(self, prefix: bytes, revision: int) -> int:
        """How many keys began with a prefix at a revision."""
        request = rpc.RangeRequest(key=prefix, range_end=end_of(prefix), count_only=True, revision=revision)
        return (await self.ask("KV/Range", request, rpc.RangeResponse)).count

    async def version(self) -> str:
        """The release of the member that answers: `3.4.23`."""
        found: str = (await self.ask("Maintenance/Status", rpc.StatusRequest(), rpc.StatusResponse)).version
        return found
