"""Every pod of this node: sources come in here, workers live here, what nobody wants is found here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

import orjson

from agent import podspec
from agent.cri import names
from agent.cri.cache import RuntimeCache
from agent.cri.model import PodRecord
from agent.host import paths
from agent.pods.worker import PodWorker, WorkerParts
from agent.status.mirror import Mirrors
from apimachinery.kit import tasks
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 30.0
_STOP_SECONDS = 5.0


class Pods:
    """The PodSink. ``sources``: names that must have synced before anything unknown is cleaned."""

    def __init__(self, sources: Iterable[str], mirrors: Mirrors | None) -> None:
        self._shared: WorkerParts | None = None
        self._cache: RuntimeCache | None = None
        self._workers: dict[str, PodWorker] = {}
        self._sources: dict[str, str] = {}
        self._again: dict[str, Obj] = {}
        self._unsynced = set(sources)
        self._mirrors = mirrors
        self._open = asyncio.Event()
        self._all_synced = asyncio.Event()
        if not self._unsynced:
            self._all_synced.set()

    def connect(self, shared: WorkerParts, cache: RuntimeCache) -> None:
        """The other half of the knot: workers need parts that call back here."""
        self._shared, self._cache = shared, cache

    # --- PodSink

    def set_pod(self, source: str, pod: Obj) -> None:
        uid = podspec.uid(pod)
        self._sources[uid] = source
        worker = self._workers.get(uid)
        if worker is None:
            self._start(pod)
        elif worker.removed:
            # A static pod put back unchanged has the same uid: it starts anew once its end is complete.
            self._again[uid] = pod
        else:
            worker.update(pod)
            self._shared_parts().statuses.observe(pod)
        if self._mirrors is not None and source != "api":
            self._mirrors.want(pod)

    def remove_pod(self, source: str, uid: str) -> None:
        if self._sources.get(uid) not in (source, None):
            return
        self._sources.pop(uid, None)
        self._again.pop(uid, None)
        worker = self._workers.get(uid)
        if worker is not None:
            if self._mirrors is not None and source != "api":
                self._mirrors.unwant(worker.pod)
            # What still waits to be written would only be refused: the object is gone.
            self._shared_parts().statuses.forget(uid)
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
            self._all_synced.set()

    # --- workers

    def open(self) -> None:
        """The runtime's state is known: workers may act."""
        self._open.set()
        for worker in self._workers.values():
            if worker.task is None:
                worker.start()

    def _start(self, pod: Obj, *, removed: bool = False) -> None:
        worker = PodWorker(self._shared_parts(), pod, removed=removed)
        self._workers[podspec.uid(pod)] = worker
        if self._open.is_set():
            worker.start()

    def _shared_parts(self) -> WorkerParts:
        assert self._shared is not None, "connect() comes first"
        return self._shared

    def wake(self, uid: str) -> None:
        """Something about the pod changed: its containers, a probe's verdict, an object it refers to."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def refresh(self, uid: str) -> None:
        """A ConfigMap, Secret or token the pod refers to changed."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.refresh()

    def ended(self, uid: str) -> None:
        """The pod's worker is through."""
        self._workers.pop(uid, None)
        if self._shared is not None:
            self._shared.statuses.forget(uid)
        if (again := self._again.pop(uid, None)) is not None:
            self._start(again)

    def holding(self, but: str) -> tuple[Obj, ...]:
        """The pods whose requests and ports are taken on this node, without the one of uid ``but``."""
        return tuple(w.pod for w in self._workers.values() if w.uid != but and w.holds_room)

    async def make_room(self, uids: tuple[str, ...]) -> None:
        """End these pods for a critical one."""
        workers = [self._workers[uid] for uid in uids if uid in self._workers]
        await asyncio.gather(*(worker.preempt() for worker in workers))

    def network_lost(self, sandbox_id: str, why: str) -> None:
        """A pod's network is gone from the kernel: only a new sandbox gives it another."""
        assert self._cache is not None
        worker = self._workers.get(self._cache.network_lost(sandbox_id, why))
        if worker is not None:
            reporter = self._shared_parts().parts.reporter
            reporter.pod(worker.pod, "Warning", "NetworkNotReady", f"network is not ready: {why}")

    def worker(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def all(self) -> list[PodWorker]:
        return list(self._workers.values())

    # --- what nobody wants

    async def sweep(self) -> None:
        """Stop and clean pods the runtime holds and no source names. Runs until cancelled."""
        await self._all_synced.wait()
        assert self._cache is not None and self._shared is not None
        await self._cache.synced.wait()
        while True:
            for uid in self._cache.uids():
                if uid not in self._workers:
                    self._start(orphan(self._cache.record(uid)), removed=True)
            self._sweep_directories()
            await asyncio.sleep(_SWEEP_SECONDS)

    def _sweep_directories(self) -> None:
        assert self._shared is not None and self._cache is not None
        settings = self._shared.parts.settings
        known = set(self._workers) | set(self._cache.uids())
        left = {uid: ("", "") for uid in _entries(paths.pods_directory(settings.root_dir))}
        if self._shared.cgroups is not None:
            left |= {uid: ("", "") for uid in self._shared.cgroups.pods()}
        for entry in _entries(settings.pod_log_dir):
            namespace, _, rest = entry.partition("_")
            name, _, uid = rest.partition("_")
            left |= {uid: (namespace, name)} if uid else {}
        for uid in left.keys() - known:
            log.info("cleaning what pod %s left behind", uid)
            namespace, name = left[uid]
            skeleton = {"metadata": {"uid": uid, "name": name, "namespace": namespace}, "spec": {}}
            self._start(skeleton, removed=True)

    async def stop(self) -> None:
        """End the workers; containers run on."""
        await tasks.end([w.task for w in self._workers.values() if w.task is not None], _STOP_SECONDS)


def _entries(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir() if entry.is_dir()] if directory.is_dir() else []


def orphan(record: PodRecord) -> Obj:
    """A pod rebuilt from the runtime's labels, good enough to stop it properly."""
    some = record.sandboxes[0] if record.sandboxes else None
    first = record.containers[0] if record.containers else None
    meta = {
        "uid": record.uid,
        "name": some.name if some else first.pod_name if first else "",
        "namespace": some.namespace if some else first.pod_namespace if first else "",
    }
    containers = []
    for name in sorted({c.name for c in record.containers}):
        containers.append({"name": name, **_pre_stop(record, name)})
    spec: Obj = {"containers": containers, "hostNetwork": bool(some and some.host_network)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _pre_stop(record: PodRecord, name: str) -> Obj:
    run = record.newest(name)
    text = run.annotations.get(names.CONTAINER_PRE_STOP, "") if run else ""
    try:
        return {"lifecycle": {"preStop": orjson.loads(text)}} if text else {}
    except orjson.JSONDecodeError:
        return {}
