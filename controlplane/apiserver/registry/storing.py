"""Prepared objects into the store, and out of it: their bytes, the revision that they must replace, who is told of a
full disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.numerals import whole
from apimachinery.objects import Obj
from controlplane.apiserver.cache.cache import Cache, key_of
from controlplane.apiserver.cache.entry import Entry, encode
from controlplane.apiserver.catalog.strategy import Reservation
from controlplane.apiserver.offloop import off_loop
from controlplane.apiserver.registry import conflicts
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.registry.size import bounded
from controlplane.store import Delete, Full, Mismatch, Op, Put, Store, StoreError


class Storing:
    """Every method raises Mismatch where the stored object is not the one that was read, ApiError where the store is
    full. A dry run stores nothing.
    """

    def __init__(self, store: Store, cache: Cache, lifetimes: Mapping[str, int]) -> None:
        """lifetimes: seconds after which the store itself removes what is in a collection, by kind.storage."""
        self._store = store
        self._cache = cache
        self._lifetimes = lifetimes

    async def fresh(self) -> None:
        """Wait until all that anybody was answered before is in the cache. Raises ServiceUnavailable, Timeout."""
        try:
            await self._store.fresh()
        except StoreError as error:
            raise conflicts.unreachable(error) from error

    @property
    def shared(self) -> bool:
        """Other servers write to the same store."""
        return self._store.shared

    @property
    def trouble(self) -> str:
        """Why nothing but deletions can be stored, or nothing at all; "" when all is well."""
        return self._store.trouble or self._store.away

    async def put(
        self, kind: Kind, namespace: str, obj: Obj, expect: int, context: Context, reservations: Sequence[Reservation]
    ) -> Entry:
        """Store an object in the place of the revision `expect` (0: of none), and keep what was reserved for it."""
        name = obj["metadata"]["name"]
        # What is on its way out may be written to the end.
        removing = "deletionTimestamp" in obj["metadata"]
        collection = self._cache.collection(kind)
        how = (obj, context.settled, collection.versioned)
        body = encode(obj, collection.versioned) if removing else await off_loop(context.size, bounded, *how)
        # What a trial's writer says, or whoever changed the object on its way, is perhaps no number.
        revision = expect or whole(obj["metadata"].get("resourceVersion") or "") or 0
        if not context.dry_run:
            own = Put(key_of(kind, namespace, name), body, expect, self._lifetimes.get(kind.storage, 0))
            revision = await self._put(own, reservations, removing)
        return Entry(collection.head, namespace, name, revision, body)

    async def _put(self, own: Put, reservations: Sequence[Reservation], removing: bool) -> int:
        begun: list[Reservation] = []
        try:
            for reservation in reservations:
                await reservation.begin()
                begun.append(reservation)
            return await self._put_begun(own, reservations, removing)
        finally:
            for reservation in begun:
                reservation.end()

    async def _put_begun(self, own: Put, reservations: Sequence[Reservation], removing: bool) -> int:
        taken = [write for reservation in reservations for write in reservation.writes]
        try:
            revision = (await self._commit([own, *taken], removing))[0]
        except Mismatch as error:
            for reservation in reservations:
                reservation.lost(error.key, error.current)
            raise
        for reservation in reservations:
            reservation.keep(revision)
        return revision

    async def remove(
        self,
        kind: Kind,
        old: Entry,
        context: Context,
        last: Obj | None,
        reservation: Reservation,
        stored: Obj | None = None,
    ) -> Entry:
        """Take an object out, and what it has reserved; last is what is written just before, for those who watch, and
        stored the same as it is stored, where that is another version.
        """
        key, revision = key_of(kind, old.namespace, old.name), old.revision
        ops: list[Op] = []
        versioned = self._cache.collection(kind).versioned
        body = old.body if last is None else encode(last, versioned)
        if last is not None:
            ops.append(Put(key, body if stored is None else encode(stored, versioned), old.revision))
        ops.append(Delete(key, None if ops else old.revision))
        if not context.dry_run:
            revision = (await self._commit([*ops, *reservation.writes], removing=True))[len(ops) - 1]
            reservation.keep(revision)
        return Entry(old.head, old.namespace, old.name, revision, body)

    async def drop(self, kind: Kind, entry: Entry) -> None:
        """Take an object out, and no more."""
        await self._commit([Delete(key_of(kind, entry.namespace, entry.name), entry.revision)], removing=True)

    async def _commit(self, ops: Sequence[Op], removing: bool = False) -> list[int]:
        try:
            return await self._store.txn(ops, removing=removing)
        except Full as error:
            # In the words of etcd's NOSPACE alarm, which upstream hands on as they are: a 500 without a reason.
            told = "mvcc: database space exceeded: objects can only be read and deleted until there is room"
            raise errors.ApiError(f"{told}: {error}") from error
        except Mismatch:
            raise
        except StoreError as error:
            raise conflicts.unreachable(error) from error
