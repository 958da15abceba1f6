"""Pod statuses on their way to the API server: only what changed, at once, a few at a time.

One pod is never written by two requests at a time; a newer status replaces one still waiting. A finished pod that is
being deleted is released by a last delete with its uid.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from agent import podspec
from agent.status.diff import status_patch
from apimachinery import kinds
from apimachinery.client import Client, PatchType
from apimachinery.errors import ApiError, Conflict, NotFound, Unreachable
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

_WRITERS = 8
_REPEAT_SECONDS = 1.0
_RETRY_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0)


class StatusSink(Protocol):
    def set(self, pod: Obj, status: Obj) -> None: ...
    def observe(self, pod: Obj) -> None: ...
    def release(self, pod: Obj) -> None: ...
    def forget(self, uid: str) -> None: ...


@dataclass
class _Entry:
    pod: Obj
    written: Obj
    wanted: Obj
    release: bool = False
    gone: bool = False
    revision: int = 0
    """Of the object `written` was taken from."""
    failures: int = 0


class StatusWriter:
    """`client` None: standalone, nothing is written."""

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._entries: dict[str, _Entry] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._mirrors: dict[str, Obj] = {}

    def set(self, pod: Obj, status: Obj) -> None:
        """`status` is what the pod's status must become."""
        if self._client is None:
            return
        uid = podspec.uid(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, pod.get("status") or {}, status, revision=_revision(pod))
        entry.pod, entry.wanted = pod, status
        self._enqueue(uid)

    def observe(self, pod: Obj) -> None:
        """The object as the API shows it. Where someone else overwrote what the agent said, it is said again."""
        entry = self._entries.get(podspec.uid(pod))
        if entry is None or podspec.is_static(pod):
            return
        entry.pod = pod
        if _revision(pod) >= entry.revision:
            entry.revision = _revision(pod)
            entry.written = pod.get("status") or {}
            if status_patch(entry.written, entry.wanted):
                # Not at once: two that disagree must not write as fast as they can.
                loop = asyncio.get_running_loop()
                loop.call_later(_REPEAT_SECONDS, self._enqueue, podspec.uid(pod))

    def release(self, pod: Obj) -> None:
        """Nothing of the pod is left: after its last status the object may go."""
        if self._client is None:
            return
        uid = podspec.uid(pod)
        entry = self._entries.get(uid)
        if entry is None:
            current = pod.get("status") or {}
            entry = self._entries[uid] = _Entry(pod, current, current)
        entry.release = True
        self._enqueue(uid)

    def forget(self, uid: str) -> None:
        self._entries.pop(uid, None)

    def set_mirror(self, static_uid: str, mirror: Obj | None) -> None:
        """The API object that stands for a static pod; its status is the static pod's."""
        if mirror is None:
            self._mirrors.pop(static_uid, None)
            return
        known = self._mirrors.get(static_uid)
        self._mirrors[static_uid] = mirror
        entry = self._entries.get(static_uid)
        if entry is not None and (known is None or podspec.uid(known) != podspec.uid(mirror)):
            entry.written = mirror.get("status") or {}
            self._enqueue(static_uid)

    def _enqueue(self, uid: str) -> None:
        if uid not in self._queued:
            self._queued.add(uid)
            self._queue.put_nowait(uid)

    async def run(self) -> None:
        """Write until cancelled."""
        if self._client is None:
            return
        await asyncio.gather(*(self._work() for _ in range(_WRITERS)))

    async def _work(self) -> None:
        busy = self._busy
        while True:
            uid = await self._queue.get()
            if uid in busy:
                # Another writer has this pod in hand and will look again when done.
                continue
            self._queued.discard(uid)
            entry = self._entries.get(uid)
            if entry is None:
                continue
            busy.add(uid)
            try:
                await self._write(uid, entry)
                entry.failures = 0
            except (ApiError, Unreachable) as error:
                delay = _RETRY_SECONDS[min(entry.failures, len(_RETRY_SECONDS) - 1)]
                entry.failures += 1
                log.log(
                    logging.WARNING if entry.failures in (1, 5) else logging.DEBUG,
                    "status of %s not written: %s",
                    podspec.full_name(entry.pod),
                    error,
                )
                asyncio.get_running_loop().call_later(delay, self._enqueue, uid)
            finally:
                busy.discard(uid)
                if uid in self._queued:
                    self._queue.put_nowait(uid)

    def _target(self, uid: str, entry: _Entry) -> Obj | None:
        """The API object to write to: the pod itself, or a static pod's mirror, or nothing yet."""
        if podspec.is_static(entry.pod):
            return self._mirrors.get(uid)
        return entry.pod

    async def _write(self, uid: str, entry: _Entry) -> None:
        assert self._client is not None
        target = self._target(uid, entry)
        if target is None or entry.gone:
            return
        namespace, name, target_uid = podspec.namespace(target), podspec.name(target), podspec.uid(target)
        wanted = entry.wanted
        patch = status_patch(entry.written, wanted)
        try:
            if patch:
                body = {"metadata": {"uid": target_uid}, "status": patch}
                answer = await self._client.patch(
                    kinds.POD, name, body, namespace, subresource="status", patch_type=PatchType.STRATEGIC
                )
                entry.written, entry.revision = answer.get("status") or wanted, _revision(answer)
            if entry.release and not podspec.is_static(entry.pod):
                await self._client.delete(kinds.POD, name, namespace, grace_period=0, uid=target_uid)
                entry.gone = True
        except NotFound as error:
            log.debug("pod %s/%s left the API: %s", namespace, name, error)
            entry.gone = True
        except Conflict:
            # Another pod under this name by now, to which nothing is reported; or others wrote this one too often
            # for the server to fit the patch in, which is only a reason to try again.
            if not await self._is_still(namespace, name, target_uid):
                entry.gone = True
            else:
                raise

    async def _is_still(self, namespace: str, name: str, uid: str) -> bool:
        """Whether the pod of this name is the one with this uid."""
        assert self._client is not None
        try:
            return podspec.uid(await self._client.get(kinds.POD, name, namespace)) == uid
        except NotFound:
            return False


def _revision(pod: Obj) -> int:
    """Resource versions of one kind are decimal and ordered (KEP-5504)."""
    text = str(pod["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
