"""Mirror pods: the API's picture of static pods. Created, kept the same and deleted here; never run.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/ .
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent import podspec
from agent.cri.names import CONFIG_HASH, CONFIG_MIRROR
from apimachinery import kinds, objects
from apimachinery.client import Client
from apimachinery.errors import AlreadyExists, ApiError, NotFound, Unreachable
from apimachinery.objects import Obj
from apimachinery.workqueue import WorkQueue

log = logging.getLogger(__name__)

_NODE_SECONDS = 0.2


class Mirrors:
    """`on_mirror(static_uid, mirror | None)` tells the status writer which object carries a static
    pod's status."""

    def __init__(
        self, client: Client, on_mirror: Callable[[str, Obj | None], None], node: Callable[[], Obj | None]
    ) -> None:
        self._client = client
        self._on_mirror = on_mirror
        self._node = node
        self._wanted: dict[str, Obj] = {}
        self._seen: dict[str, Obj] = {}
        self._deleted: dict[str, str] = {}
        """Key → uid of the mirror that was deleted last: until the watch says so it is still seen."""
        self._queue: WorkQueue[str] = WorkQueue()

    def want(self, pod: Obj) -> None:
        self._wanted[objects.key(pod)] = pod
        self._queue.add(objects.key(pod))

    def unwant(self, pod: Obj) -> None:
        key = objects.key(pod)
        if key in self._wanted and podspec.uid(self._wanted[key]) == podspec.uid(pod):
            del self._wanted[key]
        self._queue.add(key)

    def seen(self, mirror: Obj) -> None:
        key = objects.key(mirror)
        self._seen[key] = mirror
        wanted = self._wanted.get(key)
        if wanted is not None and _matches(wanted, mirror) and not podspec.deleting(mirror):
            self._on_mirror(podspec.uid(wanted), mirror)
        else:
            self._queue.add(key)

    def left(self, mirror: Obj) -> None:
        key = objects.key(mirror)
        self._seen.pop(key, None)
        self._deleted.pop(key, None)
        if key in self._wanted:
            self._on_mirror(podspec.uid(self._wanted[key]), None)
        self._queue.add(key)

    async def run(self) -> None:
        await self._queue.run_workers(1, self._sync)

    async def _sync(self, key: str) -> None:
        wanted, mirror = self._wanted.get(key), self._seen.get(key)
        try:
            if mirror is not None and (wanted is None or not _matches(wanted, mirror) or podspec.deleting(mirror)):
                if self._deleted.get(key) == podspec.uid(mirror):
                    return
                await self._client.delete(
                    kinds.POD,
                    podspec.name(mirror),
                    podspec.namespace(mirror),
                    grace_period=0,
                    uid=podspec.uid(mirror),
                )
                self._deleted[key] = podspec.uid(mirror)
                return
            if wanted is not None and mirror is None and self._node() is None:
                # Its owner is the Node, which is not known yet.
                self._queue.add_after(key, _NODE_SECONDS)
            elif wanted is not None and mirror is None:
                created = await self._client.create(kinds.POD, self._mirror_of(wanted), podspec.namespace(wanted))
                self.seen(created)
        except (NotFound, AlreadyExists):
            return
        except (ApiError, Unreachable) as error:
            log.info("mirror pod %s: %s", key, error)
            raise

    def _mirror_of(self, pod: Obj) -> Obj:
        mirror = objects.copy(pod)
        meta = mirror["metadata"]
        annotations = meta.setdefault("annotations", {})
        annotations[CONFIG_MIRROR] = annotations.get(CONFIG_HASH, podspec.uid(pod))
        for key in ("uid", "resourceVersion", "creationTimestamp"):
            meta.pop(key, None)
        mirror.pop("status", None)
        node = self._node()
        if node is not None:
            meta["ownerReferences"] = [
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "name": node["metadata"]["name"],
                    "uid": node["metadata"]["uid"],
                    "controller": True,
                }
            ]
        return mirror


def _matches(pod: Obj, mirror: Obj) -> bool:
    annotations = mirror["metadata"].get("annotations") or {}
    own = (pod["metadata"].get("annotations") or {}).get(CONFIG_HASH, podspec.uid(pod))
    return bool(annotations.get(CONFIG_MIRROR) == own)
