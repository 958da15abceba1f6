"""The loop of a kind that owns others: what every such loop does before and after it looks at one object.

Handlers put the keys of owners into the queue; a worker takes a key, claims what the owner owns (adopts orphans that
its selector picks, lets go what it no longer picks) and calls `look`. Where that are pods (`OwnerLoop`) it makes sure
first that the cache shows the loop's own writes, and calls `sync`. What a kind decides is its plan's, what it writes is
its `look`'s or `sync`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from apimachinery import errors
from apimachinery.informer import Informer
from apimachinery.kinds import POD, Kind
from apimachinery.objects import Obj, controller_of, is_deleting, key, labels, namespace, uid
from apimachinery.selectors import LabelSelector, from_label_selector
from apimachinery.workqueue import BACKOFF_MAX, WorkQueue
from controlplane.controllers import ownership
from controlplane.controllers.context import Context, synced
from controlplane.controllers.expectations import DOUBT_AFTER, Expectations
from controlplane.controllers.pod_control import PLAIN, PodControl, Words, watch_pods

# A look at an owner costs what it has, and each of these that changes brings it back; each look may end in a status to
# write, which brings back who owns the owner. So it rests this many seconds for each: 0.1 s with a thousand pods, and
# nothing to speak of with ten.
REST = 1e-4
LONGEST_REST = 0.3


class ClaimingLoop(ABC):
    """Subclasses name their `kind` and the kind it `owns`, and say what to do with one owner."""

    kind: Kind
    owns: Kind
    backoff_max = BACKOFF_MAX
    # What adopted objects get beside their owner: members of metadata.
    adopted_with: Mapping[str, object] = MappingProxyType({})

    def __init__(self, context: Context) -> None:
        self._context = context
        self._owners = context.informers.of(self.kind)
        self._owned = context.informers.of(self.owns)
        self._queue: WorkQueue[str] = WorkQueue(self.kind.singular, backoff_max=self.backoff_max)
        ownership.index_by_owner(self._owners)
        ownership.index_by_owner(self._owned)
        self._owners.add_handler(self._on_owner)
        self._owned.add_handler(self._on_owned)
        self._owned.add_handler(self._on_orphan)

    def informers(self) -> tuple[Informer, ...]:
        """What has to be known before the first owner is looked at."""
        return self._owners, self._owned

    async def run(self) -> None:
        await synced(*self.informers())
        await self._queue.run_workers(self._context.settings.workers, self._work)

    def selector(self, owner: Obj) -> LabelSelector:
        return from_label_selector((owner.get("spec") or {}).get("selector"))

    def is_member(self, owner: Obj, obj: Obj) -> bool:
        """What an owner's object has to be beside what its selector says."""
        return True

    def is_manageable(self, owner: Obj) -> bool:
        """Whether there is anything to do for an owner at all, its objects' claims included."""
        return True

    @abstractmethod
    async def look(self, item: str, owner: Obj, owned: list[Obj]) -> None:
        """Look at one owner. Raises what a request raises: the key comes back."""

    def _on_owner(self, old: Obj | None, new: Obj | None) -> None:
        self._queue.add(key(new or old or {}))

    def _on_owned(self, old: Obj | None, new: Obj | None) -> None:
        for obj in (old, new):
            reference = controller_of(obj) if obj is not None else None
            if obj is not None and reference is not None and reference.get("kind") == self.kind.kind:
                self._queue.add(f"{namespace(obj)}/{reference['name']}")

    def _on_orphan(self, old: Obj | None, new: Obj | None) -> None:
        """An object without a controller: whoever selects it may adopt it."""
        if new is None or controller_of(new) is not None or is_deleting(new):
            return
        if old is not None and controller_of(old) is None and labels(old) == labels(new):
            return
        for owner in self._owners.items():
            same = namespace(owner) == namespace(new) and self.is_member(owner, new)
            if same and self.selector(owner).matches(labels(new)):
                self._queue.add(key(owner))

    async def _work(self, item: str) -> None:
        owner = self._owners.get(item)
        if owner is None or not self.is_manageable(owner):
            return
        candidates = ownership.candidates(self._owned, owner)
        claims = ownership.claim(owner, self.selector(owner), candidates, lambda obj: self.is_member(owner, obj))
        client = self._context.client
        owned = await ownership.settle(client, self.kind, owner, self.owns, claims, self.adopted_with)
        self._queue.rest(item, min(REST * len(owned), LONGEST_REST))
        await self.look(item, owner, owned)

    async def _write_status(self, owner: Obj, status: Obj) -> None:
        """Write a status that differs; one whose object went meanwhile is of no use."""
        if status == (owner.get("status") or {}):
            return
        try:
            await self._context.client.update(self.kind, {**owner, "status": status}, subresource="status")
        except errors.NotFound:
            return


class OwnerLoop(ClaimingLoop):
    """The loop of a kind that owns pods."""

    owns = POD
    words: Words = PLAIN

    def __init__(self, context: Context) -> None:
        self._pods = context.informers.of(POD)
        self._expected = Expectations(POD, self._pods)
        self._control = PodControl(context, self._expected, self.words)
        self._noted = watch_pods(self._expected, self.kind.kind, lambda item: self._queue.add(item))
        super().__init__(context)

    @abstractmethod
    async def sync(self, item: str, owner: Obj, pods: list[Obj], settled: bool) -> None:
        """Look at one owner. `settled`: the cache shows all that the loop wrote; else no pod may be created or
        deleted. Raises what a request raises: the key comes back.
        """

    def _on_owner(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._expected.forget(uid(old))
        super()._on_owner(old, new)

    def _on_owned(self, old: Obj | None, new: Obj | None) -> None:
        self._noted(old, new)

    async def look(self, item: str, owner: Obj, owned: list[Obj]) -> None:
        if not self._expected.settled(uid(owner)):
            await self._expected.verify(uid(owner), self._context.client)
            self._queue.add_after(item, DOUBT_AFTER)
        await self.sync(item, owner, owned, self._expected.settled(uid(owner)))
