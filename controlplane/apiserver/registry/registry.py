"""The life of every object: create, change, delete, against the cache and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.timestamps import now as clock
from controlplane.apiserver.admission_request import Admission, AdmissionChain
from controlplane.apiserver.advice.gaps import Gaps
from controlplane.apiserver.cache.cache import Cache, key_of
from controlplane.apiserver.cache.collection import Collection, Subscriber
from controlplane.apiserver.cache.entry import Entry, encode
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.catalog.strategy import Reservation, Strategy
from controlplane.apiserver.offloop import off_loop
from controlplane.apiserver.registry import asking, conflicts, deletion, metadata, upkeep
from controlplane.apiserver.registry.checks import check_change, check_new
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.registry.size import bounded
from controlplane.apiserver.replies import nothing_there
from controlplane.apiserver.request import User
from controlplane.store import Delete, Full, Mismatch, Op, Put, Store

Change = Callable[[Obj], Obj]
Track = Callable[["Obj | None", Obj, Context, str], None]
# Upstream gives up a patch that keeps losing races after five rounds; an update without resourceVersion
# never does.
_ROUNDS = 100
_NAME_TRIES = 8


class Registry:
    """All methods belong to the server's event loop. Entries and objects returned are shared."""

    def __init__(self, store: Store, cache: Cache, catalog: Catalog, track: Track, gaps: Gaps | None = None) -> None:
        self._store = store
        self.cache = cache
        self.catalog = catalog
        self._track = track
        self._gaps = gaps or Gaps(ours=False)
        self._chain: AdmissionChain | None = None

    def admit_with(self, chain: AdmissionChain) -> None:
        """Set the admission chain; the composition root does so before serving."""
        self._chain = chain

    def strategy(self, kind: Kind) -> Strategy:
        """Raises NotFound for a kind that is served no more."""
        try:
            return self.catalog.of(kind).strategy
        except KeyError:
            raise nothing_there() from None

    def _spoken(self, kind: Kind, context: Context) -> Strategy:
        """That of the version that the client speaks: upstream validates objects of two groups by two sets of rules."""
        spoken = self.catalog.find(context.version, kind.kind) if context.version else None
        return self.strategy(spoken or kind)

    # --- reading ---

    def collection(self, kind: Kind) -> Collection:
        """Raises NotFound for a kind that is served no more."""
        try:
            return self.cache.collection(kind)
        except KeyError:
            raise nothing_there() from None

    def entry(self, kind: Kind, namespace: str, name: str) -> Entry:
        """Raises NotFound."""
        found = self.collection(kind).get(namespace, name)
        if found is None:
            raise errors.not_found(kind.plural, name, kind.group)
        return found

    def find(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        found = self.collection(kind).get(namespace, name)
        return found.obj if found else None

    def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Raises NotFound."""
        return self.entry(kind, namespace, name).obj

    def items(self, kind: Kind, namespace: str = "") -> list[Obj]:
        return [entry.obj for entry in self.collection(kind).scan(namespace)]

    def subscribe(self, kind: Kind, subscriber: Subscriber, replay: bool = True) -> None:
        """subscriber(None, obj) for all that is there (replay), then (old, new) for every change, on the loop."""
        self.collection(kind).subscribe(subscriber, replay)

    # --- writing, for the server's own modules ---

    async def create(
        self,
        kind: Kind,
        obj: Obj,
        namespace: str = "",
        *,
        user: User,
        options: Obj | None = None,
        dry_run: bool = False,
    ) -> Obj:
        """The full path of a client's create. Raises ApiError."""
        context = self._context(user, options, dry_run)
        return (await self.create_entry(kind, obj, namespace, context)).obj

    async def mutate(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        *,
        subresource: str = "",
        user: User,
        options: Obj | None = None,
        dry_run: bool = False,
        admitted: bool = False,
    ) -> Obj:
        """Change an object: change() gets a private copy and returns the new one; retried on conflicts.

        admitted: what this is a part of has passed admission already.
        """
        context = self._context(user, options, dry_run)
        context.admitted = admitted
        # What the server itself writes into a pod (a binding, a mark), nobody comes to own.
        context.settled = bool(subresource) and kind.resource == "pods"
        return (await self.change_entry(kind, namespace, name, change, context, subresource)).obj

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, user: User, options: Obj, dry_run: bool = False
    ) -> tuple[Obj, bool]:
        """Delete with DeleteOptions; the last state and whether the object is gone already."""
        entry, gone = await self.delete_entry(kind, namespace, name, self._context(user, options, dry_run))
        return entry.obj, gone

    async def expire(self, kind: Kind, entry: Entry) -> None:
        """Take an object out whose time is over; nobody is asked. Raises Mismatch when it is another one by now."""
        await self._commit([Delete(key_of(kind, entry.namespace, entry.name), entry.revision)], removing=True)

    def _context(self, user: User, options: Obj | None, dry_run: bool) -> Context:
        manager = (options or {}).get("fieldManager") or "kube-apiserver"
        return Context(self.catalog, user=user, options=dict(options or {}), dry_run=dry_run, manager=manager)

    # --- writing ---

    async def create_entry(self, kind: Kind, obj: Obj, namespace: str, context: Context) -> Entry:
        strategy = self.strategy(kind)
        chosen, gaps = await off_loop(context.size, self._begin_new, kind, obj, namespace, context)
        admission = asking.admission("CREATE", kind, "", namespace, obj, None, context)
        await self._admit(admission)
        await off_loop(context.size, self._finish_new, kind, obj, namespace, context, chosen)
        try:
            await self._validate(admission)
            if (standing := self._standing(kind, namespace, obj)) is not None:
                raise conflicts.exists(kind, obj["metadata"], standing)
            context.warnings.extend((*await off_loop(context.size, _listed, strategy.warn, obj, None), *gaps))
            admission.reservations.append(strategy.reserve(obj, None, context.dry_run))
            return await self._put(kind, namespace, obj, 0, context, admission.reservations)
        except Mismatch:
            raise conflicts.exists(kind, obj["metadata"], self._standing(kind, namespace, obj)) from None
        finally:
            asking.release(admission)

    def _standing(self, kind: Kind, namespace: str, obj: Obj) -> Entry | None:
        return self.collection(kind).get(namespace, obj["metadata"]["name"])

    def _begin_new(self, kind: Kind, obj: Obj, namespace: str, context: Context) -> tuple[bool, list[str]]:
        """Up to admission; whether the client chose the name, and what nobody acts on."""
        strategy = self.strategy(kind)
        metadata.begin(kind, obj, namespace)
        chosen = bool(obj["metadata"].get("name"))
        if upkeep.has_status(kind) and not strategy.keep_status_on_create:
            obj.pop("status", None)
        gaps = self._gaps.told(kind, self.catalog.schema, obj)
        context.warnings.extend(strategy.warn_sent(obj))
        strategy.default(obj)
        self._own(strategy, None, obj, context, "")
        return chosen, gaps

    def _finish_new(self, kind: Kind, obj: Obj, namespace: str, context: Context, chosen: bool) -> None:
        """From admission to a valid object. Raises Invalid."""
        strategy = self.strategy(kind)
        context.warnings.extend(metadata.single_owners(obj, admitted=True))
        metadata.complete(obj, clock())
        if not chosen:
            self._avoid_collision(kind, obj["metadata"], namespace)
        strategy.prepare_create(obj)
        if strategy.generation:
            obj["metadata"]["generation"] = 1
        check_new(kind, self._spoken(kind, context), obj, context.version)
        strategy.finish(obj)

    async def admit_part(
        self, kind: Kind, subresource: str, namespace: str, name: str, body: Obj, context: Context
    ) -> None:
        """Ask admission about something that is made of an object: a binding, an eviction, a token. Raises ApiError."""
        admission = asking.admission("CREATE", kind, subresource, namespace, body, None, context)
        admission.name = admission.given_name = name
        try:
            await self._admit(admission)
            await self._validate(admission)
        finally:
            asking.release(admission)

    async def admit_connection(
        self, kind: Kind, subresource: str, namespace: str, name: str, options: Obj, context: Context
    ) -> None:
        """Ask admission about a stream into an object (exec, attach, port-forward, proxy). Raises ApiError."""
        admission = asking.admission("CONNECT", kind, subresource, namespace, options, None, context)
        admission.name = admission.given_name = name
        await self._admit(admission)
        await self._validate(admission)

    def _avoid_collision(self, kind: Kind, given: Obj, namespace: str) -> None:
        """A generated name that is taken is generated anew, a few times, as upstream does."""
        for _ in range(_NAME_TRIES):
            if not given.get("name") or self.collection(kind).get(namespace, given["name"]) is None:
                return
            given["name"] = metadata.generated(given["generateName"])

    async def change_entry(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        context: Context,
        subresource: str = "",
    ) -> Entry:
        """change() may raise; a resourceVersion in what it returns must be the stored one (Conflict
        otherwise).
        """
        for _ in range(_ROUNDS):
            old = self.entry(kind, namespace, name)
            size = max(context.size, len(old.wire))
            await off_loop(size, old.read_beside_others)
            new = await off_loop(size, lambda old=old: change(old.copy()))  # type: ignore[misc]
            conflicts.check_pins(kind, new, old, self.strategy(kind).names_version)
            try:
                return await self._replace(kind, old, new, context, subresource)
            except Mismatch:
                # Someone was faster. A patch that names no resourceVersion carries the one it was read
                # with, so only the next round tells whether the version was the client's own wish.
                continue
        raise conflicts.conflict(kind, name)

    async def _replace(self, kind: Kind, old: Entry, new: Obj, context: Context, subresource: str) -> Entry:
        strategy, size = self.strategy(kind), max(context.size, len(old.wire))
        gaps = await off_loop(size, self._begin_change, kind, old.obj, new, context, subresource)
        admission = asking.admission("UPDATE", kind, subresource, old.namespace, new, old.obj, context)
        await self._admit(admission)
        await off_loop(size, self._finish_change, kind, old, new, context, admission)
        try:
            await self._validate(admission)
            told = strategy.warn_status if subresource == "status" else strategy.warn
            context.warnings.extend((*await off_loop(size, _listed, told, new, old.obj), *gaps))
            if await off_loop(size, self._unchanged, new, old):
                return old
            if upkeep.deletion_is_due(new) and not strategy.holds(new):
                # Upstream removes what the write left without storing the write.
                await self._remove(kind, old, context)
                return Entry(old.head, old.namespace, old.name, old.revision, old.created, encode(new))
            admission.reservations.append(strategy.reserve(new, old.obj, context.dry_run))
            return await self._put(kind, old.namespace, new, old.revision, context, admission.reservations)
        finally:
            asking.release(admission)

    def _begin_change(self, kind: Kind, old: Obj, new: Obj, context: Context, subresource: str) -> list[str]:
        """Up to admission; what nobody acts on."""
        strategy = self.strategy(kind)
        metadata.fill_changed(kind, new, old)
        gaps = [] if subresource else self._gaps.told(kind, self.catalog.schema, new, old)
        strategy.default(new)
        if upkeep.has_status(kind) and not subresource:
            upkeep.keep_status(new, old)
        self._own(strategy, old, new, context, subresource)
        return gaps

    def _finish_change(self, kind: Kind, old: Entry, new: Obj, context: Context, admission: Admission) -> None:
        """From admission to a valid object. Raises Invalid."""
        strategy, subresource = self.strategy(kind), admission.subresource
        context.warnings.extend(metadata.single_owners(new, admitted=True))
        if admission.changed:
            metadata.fill_changed(kind, new, old.obj)
            if upkeep.has_status(kind) and not subresource:
                upkeep.keep_status(new, old.obj)
        if subresource == "status":
            strategy.prepare_status(new, old.obj)
            metadata.put_back(new, old.obj, strategy.status_keeps)
        elif subresource == "finalize":
            strategy.prepare_finalize(new, old.obj)
        elif subresource not in upkeep.WHOLE:
            strategy.prepare_update(new, old.obj)
        upkeep.count_generation(strategy, new, old.obj, subresource)
        check_change(kind, self._spoken(kind, context), new, old.obj, subresource, context.version)

    def _own(self, strategy: Strategy, old: Obj | None, new: Obj, context: Context, subresource: str) -> None:
        """Write down who owns what, between defaults and what the server itself puts in."""
        if not context.settled:
            self._track(old, new, context, subresource)
        strategy.settle(new)

    def _unchanged(self, new: Obj, old: Entry) -> bool:
        new["metadata"]["resourceVersion"] = str(old.revision)
        new["kind"], new["apiVersion"] = old.obj["kind"], old.obj["apiVersion"]
        return new == old.obj

    async def delete_entry(self, kind: Kind, namespace: str, name: str, context: Context) -> tuple[Entry, bool]:
        """The object's last state and whether it is gone. Raises NotFound, Conflict (preconditions)."""
        for _ in range(_ROUNDS):
            old = self.entry(kind, namespace, name)
            await off_loop(len(old.wire), old.read_beside_others)
            conflicts.check_preconditions(kind, old, context.options)
            admission = asking.admission("DELETE", kind, "", namespace, None, old.obj, context)
            await self._admit(admission)
            await self._validate(admission)
            private = await off_loop(len(old.wire), old.copy)
            verdict = deletion.plan(private, context.options, self.strategy(kind), clock())
            try:
                if verdict.remove:
                    return await self._remove(kind, old, context, verdict.store), True
                if verdict.store is None:
                    return old, False
                return await self._put(kind, namespace, verdict.store, old.revision, context, ()), False
            except Mismatch:
                continue
        raise conflicts.conflict(kind, name)

    async def _remove(self, kind: Kind, old: Entry, context: Context, last: Obj | None = None) -> Entry:
        """Take an object out; last is what is written just before, for those who watch."""
        key, revision = key_of(kind, old.namespace, old.name), old.revision
        ops: list[Op] = []
        body = old.body if last is None else encode(last)
        if last is not None:
            ops.append(Put(key, body, old.revision))
        ops.append(Delete(key, None if ops else old.revision))
        if not context.dry_run:
            revision = (await self._commit(ops, removing=True))[-1]
            self.strategy(kind).reserve(None, old.obj, False).keep()
        return Entry(old.head, old.namespace, old.name, revision, old.created, body)

    async def _put(
        self, kind: Kind, namespace: str, obj: Obj, expect: int, context: Context, reservations: Sequence[Reservation]
    ) -> Entry:
        name = obj["metadata"]["name"]
        # What is on its way out may be written to the end.
        removing = "deletionTimestamp" in obj["metadata"]
        body = encode(obj) if removing else await off_loop(context.size, bounded, obj, context.settled)
        revision = expect
        if not context.dry_run:
            (revision,) = await self._commit([Put(key_of(kind, namespace, name), body, expect)], removing)
            for reservation in reservations:
                reservation.keep()
        entry = Entry(self.collection(kind).head, namespace, name, revision, revision, body)
        return entry

    @property
    def trouble(self) -> str:
        """Why nothing but deletions can be stored; "" when all is well."""
        return self._store.trouble

    async def _commit(self, ops: Sequence[Op], removing: bool = False) -> list[int]:
        try:
            return await self._store.txn(ops, removing=removing)
        except Full as error:
            # In the words of etcd's NOSPACE alarm, which upstream hands on as they are: a 500 without a reason.
            told = "mvcc: database space exceeded: objects can only be read and deleted until there is room"
            raise errors.ApiError(f"{told}: {error}") from error

    async def _admit(self, admission: Admission) -> None:
        if self._chain is not None and not admission.admitted:
            await self._chain.admit(admission)

    async def _validate(self, admission: Admission) -> None:
        if self._chain is not None and not admission.admitted:
            await self._chain.validate(admission)


def _listed(told: Callable[..., Iterable[str]], *objects: Obj | None) -> list[str]:
    return list(told(*objects))
