"""The life of every object: create, change, delete, against the cache and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

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
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.offloop import begun, off_loop
from controlplane.apiserver.registry import asking, conflicts, deletion, upkeep
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.registry.preparing import Preparation, Track
from controlplane.apiserver.registry.storing import Storing
from controlplane.apiserver.replies import nothing_there
from controlplane.apiserver.request import User
from controlplane.store import Mismatch, Store

Change = Callable[[Obj], Obj]
# Upstream gives up a patch that keeps losing races after five rounds; an update without resourceVersion
# never does.
_ROUNDS = 100


class Registry:
    """All methods belong to the server's event loop. Entries and objects returned are shared."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        catalog: Catalog,
        track: Track,
        gaps: Gaps | None = None,
        lifetimes: Mapping[str, int] | None = None,
    ) -> None:
        """lifetimes: seconds after which the store itself removes what is in a collection, by kind.storage."""
        self.cache = cache
        self.catalog = catalog
        self._storing = Storing(store, cache, lifetimes or {})
        self._preparation = Preparation(catalog, track, gaps or Gaps(ours=False), self._is_taken)
        self._chain: AdmissionChain | None = None

    def admit_with(self, chain: AdmissionChain) -> None:
        """Set the admission chain; the composition root does so before serving."""
        self._chain = chain

    def strategy(self, kind: Kind) -> Strategy:
        """Raises NotFound for a kind that is served no more."""
        return self._preparation.strategy(kind)

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

    def _row(self, kind: Kind) -> Resource:
        try:
            return self.catalog.of(kind)
        except KeyError:
            raise nothing_there() from None

    def find(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        found = self.collection(kind).get(namespace, name)
        return found.obj if found else None

    async def read(self, kind: Kind, namespace: str, name: str) -> Obj:
        """An object as this version of its kind shows it; of custom resources get() has it as it is stored. Raises
        NotFound, and what a conversion raises.
        """
        return (await self.shown(kind, (self.entry(kind, namespace, name),)))[0].obj

    async def shown(self, kind: Kind, entries: Sequence[Entry]) -> Sequence[Entry]:
        """What is stored, as a version of a custom resource shows it; what is built in as it is. Raises ApiError,
        NotFound for a kind that is served no more.
        """
        custom = self._row(kind).custom
        return entries if custom is None else await custom.shown(entries)

    def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Raises NotFound."""
        return self.entry(kind, namespace, name).obj

    def items(self, kind: Kind, namespace: str = "") -> list[Obj]:
        return [entry.obj for entry in self.collection(kind).scan(namespace)]

    async def fresh(self) -> None:
        """Wait until all that anybody was answered before can be read here. Raises ServiceUnavailable, Timeout."""
        await self._storing.fresh()

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
    ) -> Entry:
        """Change an object: change() gets a private copy and returns the new one; retried on conflicts. The answer is
        decoded only for who looks inside.

        admitted: what this is a part of has passed admission already.
        """
        context = self._context(user, options, dry_run)
        context.admitted = admitted
        # What the server itself writes into a pod (a binding, a mark), nobody comes to own.
        context.settled = bool(subresource) and kind.resource == "pods"
        return await self.change_entry(kind, namespace, name, change, context, subresource)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, user: User, options: Obj, dry_run: bool = False
    ) -> tuple[Obj, bool]:
        """Delete with DeleteOptions; the last state and whether the object is gone already."""
        entry, gone = await self.delete_entry(kind, namespace, name, self._context(user, options, dry_run))
        return entry.obj, gone

    async def expire(self, kind: Kind, entry: Entry) -> None:
        """Take an object out whose time is over; nobody is asked. Raises Mismatch when it is another one by now."""
        await self._storing.drop(kind, entry)

    def _context(self, user: User, options: Obj | None, dry_run: bool) -> Context:
        manager = (options or {}).get("fieldManager") or "kube-apiserver"
        return Context(self.catalog, user=user, options=dict(options or {}), dry_run=dry_run, manager=manager)

    # --- writing ---

    async def create_entry(self, kind: Kind, obj: Obj, namespace: str, context: Context, pinned: bool = False) -> Entry:
        """pinned: it names a version, which nothing has that is not stored yet. That is for the store to say, after
        everybody who may refuse it. Raises ApiError.
        """
        await self.fresh()
        strategy = self.strategy(kind)
        if strategy.closed:
            raise errors.forbidden(kind.plural, obj["metadata"].get("name") or "", strategy.closed, kind.group)
        size = context.size * strategy.weight
        chosen, gaps = await off_loop(size, self._preparation.begin_new, kind, obj, namespace, context)
        admission = asking.admission("CREATE", kind, "", namespace, obj, None, context)
        await self._admit(admission)
        warned = len(context.warnings)

        def finish() -> None:
            del context.warnings[warned:]
            self._preparation.finish_new(kind, obj, namespace, context, chosen)

        await begun(size, finish)
        # Who validates is told the name that was generated meanwhile.
        admission.name = admission.given_name = obj["metadata"]["name"]
        try:
            context.warnings.extend(await off_loop(context.size, _listed, strategy.warn, obj, None))
            await self._validate(admission)
            if pinned:
                raise errors.ApiError("resourceVersion should not be set on objects to be created")
            if (standing := self._standing(kind, namespace, obj)) is not None:
                raise conflicts.exists(self._spoken(kind, context), obj["metadata"], standing)
            context.warnings.extend(gaps)
            return await self._put_new(kind, namespace, obj, context, admission)
        except Mismatch:
            standing = self._standing(kind, namespace, obj)
            raise conflicts.exists(self._spoken(kind, context), obj["metadata"], standing) from None
        finally:
            asking.release(admission)

    async def _put_new(self, kind: Kind, namespace: str, obj: Obj, context: Context, admission: Admission) -> Entry:
        """Raises Mismatch when the object is there already."""
        for _ in range(_ROUNDS):
            admission.reservations.append(self.strategy(kind).reserve(obj, None, context.dry_run))
            try:
                return await self._put(kind, namespace, obj, 0, context, admission)
            except Mismatch as error:
                if error.key == key_of(kind, namespace, obj["metadata"]["name"]):
                    raise
                # Another server was faster with an address or a port, of which the next may be free, or with a quota.
                admission.reservations.pop().release()
        raise conflicts.conflict(kind, obj["metadata"]["name"])

    async def _put(
        self, kind: Kind, namespace: str, obj: Obj, expect: int, context: Context, admission: Admission | None = None
    ) -> Entry:
        """Storing.put of an object of any version of its kind; the answer is of that version, too."""
        custom = self._row(kind).custom
        stored = obj if custom is None else await custom.stored(obj)
        reservations = admission.reservations if admission is not None else ()
        entry = await self._storing.put(kind, namespace, stored, expect, context, reservations)
        return entry if custom is None else (await custom.shown((entry,)))[0]

    def _spoken(self, kind: Kind, context: Context) -> Kind:
        """The kind by the group that the client speaks of, which is the one that refusals name."""
        return (self.catalog.find(context.version, kind.kind) if context.version else None) or kind

    async def _changing(self, kind: Kind, namespace: str, name: str, context: Context) -> Entry:
        """What is to be changed or deleted, as the version that is spoken. Raises NotFound."""
        found = self.collection(kind).get(namespace, name)
        if found is None:
            spoken = self._spoken(kind, context)
            raise errors.not_found(spoken.plural, name, spoken.group)
        return (await self.shown(kind, (found,)))[0]

    def _is_taken(self, kind: Kind, namespace: str, name: str) -> bool:
        return self.collection(kind).get(namespace, name) is not None

    def _standing(self, kind: Kind, namespace: str, obj: Obj) -> Entry | None:
        return self.collection(kind).get(namespace, obj["metadata"]["name"])

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
        await self.fresh()
        for _ in range(_ROUNDS):
            old = await self._changing(kind, namespace, name, context)
            size = max(context.size, len(old.wire))
            await off_loop(size, old.read_beside_others)
            converting = context.conversions.working
            new = await converting(self.catalog, size, lambda old=old: change(old.copy()))  # type: ignore[misc]
            spoken = self._spoken(kind, context)
            # A Scale has the version of what it is a part of, where it says none.
            named = self.strategy(kind).names_version and subresource != "scale"
            conflicts.check_pins(spoken, new, old, named)
            try:
                return await self._replace(kind, old, new, context, subresource)
            except Mismatch:
                # Someone was faster. A patch that names no resourceVersion carries the one it was read
                # with, so only the next round tells whether the version was the client's own wish.
                continue
        raise conflicts.conflict(kind, name)

    async def _replace(self, kind: Kind, old: Entry, new: Obj, context: Context, subresource: str) -> Entry:
        strategy, size = self.strategy(kind), max(context.size, len(old.wire))
        begin = partial(self._preparation.begin_change, kind, old.obj, new, context, subresource)
        gaps = await context.conversions.working(self.catalog, size * strategy.weight, begin)
        admission = asking.admission("UPDATE", kind, subresource, old.namespace, new, old.obj, context)
        await self._admit(admission)
        warned = len(context.warnings)

        def finish() -> None:
            del context.warnings[warned:]
            self._preparation.finish_change(kind, old.obj, new, context, admission)

        await begun(size * strategy.weight, finish)
        try:
            context.warnings.extend(await off_loop(size, _listed, strategy.told(subresource), new, old.obj))
            await self._validate(admission)
            context.warnings.extend(gaps)
            if await off_loop(size, self._unchanged, new, old) and await self._is_stored_so(kind, new, old):
                return old
            if upkeep.deletion_is_due(new) and not strategy.holds(new):
                # Upstream removes what the write left without storing the write.
                await self._remove(kind, old, context)
                return Entry(old.head, old.namespace, old.name, old.revision, encode(new, old.versioned))
            admission.reservations.append(strategy.reserve(new, old.obj, context.dry_run))
            return await self._put(kind, old.namespace, new, old.revision, context, admission)
        finally:
            asking.release(admission)

    def _unchanged(self, new: Obj, old: Entry) -> bool:
        new["metadata"]["resourceVersion"] = str(old.revision)
        new["kind"], new["apiVersion"] = old.obj["kind"], old.obj["apiVersion"]
        return upkeep.is_as_it_was(new, old.obj)

    async def _is_stored_so(self, kind: Kind, new: Obj, old: Entry) -> bool:
        """Whether what changes nothing that this version of a custom resource shows changes nothing in the store: there
        it may lie in another version, or without the defaults of today. So who writes each object as it is brings all
        into the stored version.
        """
        custom, found = self._row(kind).custom, self.collection(kind).get(old.namespace, old.name)
        if custom is None or found is old:
            return True
        if found is None or found.revision != old.revision:
            # The store refuses it, and it is looked at anew.
            return False
        return upkeep.is_as_it_was(await custom.stored(new), found.obj)

    async def delete_entry(self, kind: Kind, namespace: str, name: str, context: Context) -> tuple[Entry, bool]:
        """The object's last state and whether it is gone. Raises NotFound, Conflict (preconditions)."""
        await self.fresh()
        for _ in range(_ROUNDS):
            old = await self._changing(kind, namespace, name, context)
            await off_loop(len(old.wire), old.read_beside_others)
            conflicts.check_preconditions(kind, old.obj, context.options)
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
                return await self._put(kind, namespace, verdict.store, old.revision, context), False
            except Mismatch:
                continue
        raise conflicts.conflict(kind, name)

    async def _remove(self, kind: Kind, old: Entry, context: Context, last: Obj | None = None) -> Entry:
        """Take an object out, and what it took up in pools; last is what is written just before."""
        reservation = self.strategy(kind).reserve(None, old.obj, context.dry_run)
        custom = self._row(kind).custom
        stored = last if custom is None or last is None else await custom.stored(last)
        return await self._storing.remove(kind, old, context, last, reservation, stored)

    @property
    def shared(self) -> bool:
        """Other servers write to the same store."""
        return self._storing.shared

    @property
    def trouble(self) -> str:
        """Why nothing but deletions can be stored, or nothing at all; "" when all is well."""
        return self._storing.trouble

    async def _admit(self, admission: Admission) -> None:
        if self._chain is not None and not admission.admitted:
            await self._chain.admit(admission)

    async def _validate(self, admission: Admission) -> None:
        if self._chain is not None and not admission.admitted:
            await self._chain.validate(admission)


def _listed(told: Callable[..., Iterable[str]], *objects: Obj | None) -> list[str]:
    return list(told(*objects))
