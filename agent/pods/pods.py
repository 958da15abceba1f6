"""Every pod of this node: sources come in here, workers live here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from agent import podspec
from agent.pods.shared import Shared
from agent.pods.worker import PodWorker
from agent.status.mirror import Mirrors
from agent.volumes.refresh import Refresher
from apimachinery.kit import tasks
from apimachinery.objects import Obj

_STOP_SECONDS = 5.0


class Pods:
    """The PodSink, and the neighbours of each pod. `sources`: names that must have synced before anything unknown is
    cleaned; `on_end(uid)` is told of each pod whose worker is through."""

    def __init__(
        self,
        shared: Shared,
        refresher: Refresher,
        sources: Iterable[str],
        on_end: Callable[[str], None],
        mirrors: Mirrors | None = None,
    ) -> None:
        self._shared = shared
        self._refresher = refresher
        self._on_end = on_end
        self._workers: dict[str, PodWorker] = {}
        self._sources: dict[str, str] = {}
        self._again: dict[str, Obj] = {}
        self._unsynced = set(sources)
        self._mirrors = mirrors
        self._open = asyncio.Event()
        self.all_synced = asyncio.Event()
        """Every source has delivered what it knows."""
        if not self._unsynced:
            self.all_synced.set()

    # --- PodSink

    def set_pod(self, source: str, pod: Obj) -> None:
        uid = podspec.uid(pod)
        self._sources[uid] = source
        self._refresher.see(pod)
        worker = self._workers.get(uid)
        if worker is None:
            self._start(pod)
        elif worker.life.removed:
            # A static pod put back unchanged has the same uid: it starts anew once its end is complete.
            self._again[uid] = pod
        else:
            worker.update(pod)
            self._shared.statuses.observe(pod)
        if self._mirrors is not None and source != "api":
            self._mirrors.want(pod)

    def remove_pod(self, source: str, uid: str) -> None:
        if self._sources.get(uid) not in (source, None):
            return
        self._sources.pop(uid, None)
        self._again.pop(uid, None)
        self._refresher.forget(uid)
        worker = self._workers.get(uid)
        if worker is not None:
            if self._mirrors is not None and source != "api":
                self._mirrors.unwant(worker.pod)
            # What still waits to be written would only be refused: the object is gone.
            self._shared.statuses.forget(uid)
            worker.remove()

    def set_mirror(self, mirror: Obj) -> None:
        if self._mirrors is not None:
            self._mirrors.seen(mirror)

    def remove_mirror(self, mirror: Obj) -> None:
        if self._mirrors is not None:
            self._mirrors.left(mirror)

    def synced(self, source: str) -> None:
        self._unsynced.discard(source)
        if not self._unsynced:
            self.all_synced.set()

    # --- workers

    def open(self) -> None:
        """The runtime's state is known: workers may act."""
        self._open.set()
        for worker in self._workers.values():
            if worker.task is None:
                worker.start()

    def adopt(self, pod: Obj) -> None:
        """A pod that no source names: it is stopped, cleaned and forgotten."""
        self._start(pod, removed=True)

    def _start(self, pod: Obj, *, removed: bool = False) -> None:
        worker = PodWorker(self._shared, self, pod, removed=removed)
        self._workers[podspec.uid(pod)] = worker
        if self._open.is_set():
            worker.start()

    def wake(self, uid: str) -> None:
        """Something about the pod changed: its containers, a probe's verdict, an object it refers to."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def objects_changed(self, uid: str) -> None:
        """A ConfigMap, Secret or token the pod refers to changed: its files follow, and what waits for it is due."""
        self._refresher.changed(uid)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.objects_changed()

    def ended(self, uid: str) -> None:
        """The pod's worker is through."""
        self._workers.pop(uid, None)
        self._on_end(uid)
        self._shared.statuses.forget(uid)
        if (again := self._again.pop(uid, None)) is not None:
            self._start(again)

    def holding(self, but: str) -> tuple[Obj, ...]:
        """The pods whose requests and ports are taken on this node, without the one of uid `but`."""
        return tuple(w.pod for w in self._workers.values() if w.uid != but and w.life.holds_room)

    async def make_room(self, uids: tuple[str, ...]) -> None:
        """End these pods for a critical one."""
        workers = [self._workers[uid] for uid in uids if uid in self._workers]
        await asyncio.gather(*(worker.preempt() for worker in workers))

    def worker(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def all(self) -> list[PodWorker]:
        return list(self._workers.values())

    async def stop(self) -> None:
        """End the workers; containers run on."""
        await tasks.end([w.task for w in self._workers.values() if w.task is not None], _STOP_SECONDS)
