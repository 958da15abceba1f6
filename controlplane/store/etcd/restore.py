"""Putting a copy in the place of what lies in etcd, while no API server uses it.

Cut off at any point it leaves a mark, with which no API server starts, until a restore is run again to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from controlplane.store import backup
from controlplane.store.etcd import pages
from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.etcd.calls import Calls
from controlplane.store.etcd.doubt import Doubts
from controlplane.store.etcd.feed import Feed
from controlplane.store.etcd.members import Members
from controlplane.store.etcd.places import Places
from controlplane.store.model import Change, Layout, Place, Snapshot, StoreError

# etcd's own bounds are 128 operations and 1.5 MB.
_OPERATIONS, _BYTES = 100, 1 << 20
Pair = tuple[bytes, bytes, int]
T = TypeVar("T")


async def restore(
    place: Place, layout: Layout, changes: Sequence[Change], lifetimes: Mapping[str, int], *, unused: bool = False
) -> int:
    """Write objects and nothing else below the prefix; the revision of the last.

    lifetimes: seconds that what is in a collection is to live from now on. unused: nobody serves from there, whatever
    is said there. Raises StoreError.
    """
    members = Members(place)
    try:
        work = _Restore(Calls(members), Places(place.prefix, layout))
        if not unused:
            await work.refuse_servers()
        return await work.run(changes, lifetimes)
    finally:
        await members.close()


async def set_aside(place: Place, layout: Layout, target: Path) -> Snapshot | None:
    """Copy what is there, before it goes; None where nothing is, or only half of a copy. Raises StoreError."""
    members = Members(place)
    try:
        calls, places = Calls(members), Places(place.prefix, layout)
        if await calls.value(places.unfinished) is not None:
            return None
        found = [page async for page in Feed(calls, places, Doubts()).pages()]
    finally:
        await members.close()
    if not any(changes for changes, _ in found):
        return None
    return await backup.write_shared(_again(found), target)


async def _again(pages: Sequence[T]) -> AsyncIterator[T]:
    for page in pages:
        yield page


class _Restore:
    def __init__(self, calls: Calls, places: Places) -> None:
        self._calls, self._places = calls, places

    async def run(self, changes: Sequence[Change], lifetimes: Mapping[str, int]) -> int:
        mark = self._places.unfinished
        await self._do([rpc.RequestOp(put=rpc.PutRequest(key=mark))])
        for begin, end in ((self._places.all, mark), (mark + b"\0", pages.end_of(self._places.all))):
            await self._do([rpc.RequestOp(delete_range=rpc.DeleteRangeRequest(key=begin, range_end=end))])
        leases: dict[int, int] = {}
        for group in grouped([self._pair(change, lifetimes) for change in changes]):
            puts = []
            for key, value, ttl in group:
                if ttl and ttl not in leases:
                    leases[ttl] = await self._lease(ttl)
                puts.append(rpc.RequestOp(put=rpc.PutRequest(key=key, value=value, lease=leases.get(ttl, 0))))
            await self._do(puts)
        return await self._do([rpc.RequestOp(delete_range=rpc.DeleteRangeRequest(key=mark))])

    def _pair(self, change: Change, lifetimes: Mapping[str, int]) -> Pair:
        assert change.value is not None
        ttl = lifetimes.get(change.key.partition("/")[0], 0)
        return self._places.of(change.key), self._places.outward(change.key, change.value), ttl

    async def refuse_servers(self) -> None:
        """Who serves says so with a key that lives for 15 s."""
        folder = self._places.all + b"masterleases/"
        async for kvs, _ in pages.read(self._calls.ask, folder, keys_only=True):
            if kvs:
                names = ", ".join(kv.key[len(folder) :].decode() for kv in kvs)
                raise StoreError(f"API servers still use this etcd ({names}); stop them, and try again after 15 s")

    async def _lease(self, ttl: int) -> int:
        request = rpc.LeaseGrantRequest(ttl=ttl)
        return (await self._calls.ask("Lease/LeaseGrant", request, rpc.LeaseGrantResponse)).id

    async def _do(self, ops: Sequence[rpc.RequestOp]) -> int:
        """Everything here may be done twice."""
        answer = await self._calls.ask("KV/Txn", rpc.TxnRequest(success=ops), rpc.TxnResponse)
        return answer.header.revision


def grouped(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """As many as etcd takes at once. Pure."""
    begin = size = 0
    for at, (key, value, _) in enumerate(pairs):
        more = len(key) + len(value)
        if at > begin and (at - begin >= _OPERATIONS or size + more > _BYTES):
            yield pairs[begin:at]
            begin, size = at, 0
        size += more
    if begin < len(pairs):
        yield pairs[begin:]
