"""Keeps running pods' volumes true: a changed object, a due token or new labels show in the files at once.

Beside the pods' workers, not in them: a worker prepares volumes before it starts a container and must never wait for
an API server that is away while the pod runs. Stands between the sources and the runtime to see the pods go by.
"""

from __future__ import annotations

from typing import Any

from agent.sources.model import PodSink
from agent.volumes.host import Volumes
from apimachinery.objects import Obj
from apimachinery.workqueue import WorkQueue

_WORKERS = 2
_BACKOFF_SECONDS = 60.0


class Refresher:
    """A PodSink that hands everything on to another."""

    def __init__(self, volumes: Volumes, sink: PodSink) -> None:
        self._volumes = volumes
        self._sink = sink
        self._pods: dict[str, Obj] = {}
        self._queue: WorkQueue[str] = WorkQueue("volumes", _BACKOFF_SECONDS)

    def changed(self, uid: str) -> None:
        """Something the pod refers to changed."""
        if uid in self._pods:
            self._queue.add(uid)

    async def run(self) -> None:
        """Refresh until cancelled; a failure is tried again with back-off."""
        await self._queue.run_workers(_WORKERS, self._refresh)

    async def _refresh(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return
        await self._volumes.refresh(pod)

    def set_pod(self, source: str, pod: Obj) -> None:
        """Remember the pod; new to us or with new labels, its files are looked at (an adopted pod has some)."""
        uid = pod["metadata"].get("uid", "")
        before, self._pods[uid] = self._pods.get(uid), pod
        if self._volumes.prepared(uid) if before is None else _visible(before) != _visible(pod):
            self._queue.add(uid)
        self._sink.set_pod(source, pod)

    def remove_pod(self, source: str, uid: str) -> None:
        self._pods.pop(uid, None)
        self._sink.remove_pod(source, uid)

    def set_mirror(self, mirror: Obj) -> None:
        self._sink.set_mirror(mirror)

    def remove_mirror(self, mirror: Obj) -> None:
        self._sink.remove_mirror(mirror)

    def synced(self, source: str) -> None:
        self._sink.synced(source)


def _visible(pod: Obj) -> tuple[Any, Any]:
    """What a downwardAPI volume shows that can change."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")
