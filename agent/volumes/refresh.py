"""Keeps running pods' volumes true: a changed object, a due token or new labels show in the files at once.

Beside the pods' workers, not in them: a worker prepares volumes before it starts a container and must never wait for
an API server that is away while the pod runs.
"""

from __future__ import annotations

from typing import Any

from agent import podspec
from agent.failures import VolumeError
from agent.reporter import Reporter
from agent.volumes.host import Volumes
from apimachinery.objects import Obj
from apimachinery.workqueue import WorkQueue

_WORKERS = 2
_BACKOFF_SECONDS = 60.0


class Refresher:
    def __init__(self, volumes: Volumes, reporter: Reporter) -> None:
        self._volumes = volumes
        self._reporter = reporter
        self._pods: dict[str, Obj] = {}
        self._told: dict[str, str] = {}
        self._queue: WorkQueue[str] = WorkQueue("volumes", _BACKOFF_SECONDS)

    def see(self, pod: Obj) -> None:
        """The pod as it is now; new to us or with new labels, its files are looked at (an adopted pod has some)."""
        uid = podspec.uid(pod)
        before, self._pods[uid] = self._pods.get(uid), pod
        if self._volumes.prepared(uid) if before is None else _visible(before) != _visible(pod):
            self._queue.add(uid)

    def changed(self, uid: str) -> None:
        """Something the pod refers to changed."""
        if uid in self._pods:
            self._queue.add(uid)

    def forget(self, uid: str) -> None:
        """The pod left its source."""
        self._pods.pop(uid, None)
        self._told.pop(uid, None)

    async def run(self) -> None:
        """Refresh until cancelled; a failure is told once, and tried again with back-off."""
        await self._queue.run_workers(_WORKERS, self._refresh)

    async def _refresh(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is None or podspec.deleting(pod):
            return
        try:
            await self._volumes.refresh(pod)
        except VolumeError as error:
            if self._told.get(uid) != str(error):
                self._told[uid] = str(error)
                self._reporter.pod(pod, "Warning", "FailedMount", str(error))
            raise
        self._told.pop(uid, None)


def _visible(pod: Obj) -> tuple[Any, Any]:
    """What a downwardAPI volume shows that can change."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")
