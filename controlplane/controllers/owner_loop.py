"""The loop of a kind that owns pods: what every such loop does before and after it looks at one object.

Handlers put the keys of owners into the queue; a worker takes a key, claims the owner's pods (adopts orphans that its
selector picks, lets go what it no longer picks), makes sure that the cache shows the loop's own writes, and calls
`sync`. What a kind decides is its plan's, what it writes is its `sync`'s.
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


class OwnerLoop(ABC):
    """Subclasses name their `kind` and say what to do with one owner."""

    kind: Kind
    words: Words = PLAIN
    backoff_max = BACKOFF_MAX
    # What adopted pods get beside their owner: members of metadata.
    adopted_with: Mapping[str, object] = MappingProxyType({})

    def __init__(self, context: Context) -> None:
        self._context = context
        self._owners = context.informers.of(self.kind)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue(self.kind.singular, backoff_max=self.backoff_max)
        self._expected = Expectations(POD, self._pods)
        self._control = PodControl(context, self._expected, self.words)
        ownership.index_by_owner(self._owners)
        ownership.index_by_owner(self._pods)
        self._owners.add_handler(self._on_owner)
        self._pods.add_handler(watch_pods(self._expected, self.kind.kind, self._queue.add))
        self._pods.add_handler(self._on_orphan)

    def informers(self) -> tuple[Informer, ...]:
        """What has to be known before the first owner is looked at."""
        return self._owners, self._pods

    async def run(self) -> None:
        await synced(*self.informers())
        await self._queue.run_workers(self._context.settings.workers, self._work)

    def selector(self, owner: Obj) -> LabelSelector:
        return from_label_selector((owner.get("spec") or {}).get("selector"))

    def is_member(self, owner: Obj, pod: Obj) -> bool:
        """What a pod of the owner has to be beside what its selector says."""
        return True

    def is_manageable(self, owner: Obj) -> bool:
        """Whether there is anything to do for an owner at all, its pods' claims included."""
        return True

    @abstractmethod
    async def sync(self, item: str, owner: Obj, pods: list[Obj], settled: bool) -> None:
        """Look at one owner. `settled`: the cache shows all that the loop wrote; else no pod may be created or
        deleted. Raises what a request raises: the key comes back.
        """

    def _on_owner(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._expected.forget(uid(old))
        self._queue.add(key(new or old or {}))

    def _on_orphan(self, old: Obj | None, new: Obj | None) -> None:
        """A pod without a controller: whoever selects it may adopt it."""
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
        candidates = ownership.candidates(self._pods, owner)
        claims = ownership.claim(owner, self.selector(owner), candidates, lambda pod: self.is_member(owner, pod))
        pods = await ownership.settle(self._context.client, self.kind, owner, POD, claims, self.adopted_with)
        if not self._expected.settled(uid(owner)):
            await self._expected.verify(uid(owner), self._context.client)
            self._queue.add_after(item, DOUBT_AFTER)
        await self.sync(item, owner, pods, self._expected.settled(uid(owner)))

    async def _write_status(self, owner: Obj, status: Obj) -> None:
        """Write a status that differs; one whose object went meanwhile is of no use."""
        if status == (owner.get("status") or {}):
            return
        try:
            await self._context.client.update(self.kind, {**owner, "status": status}, subresource="status")
        except errors.NotFound:
            return
