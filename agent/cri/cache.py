"""What the runtime holds, kept current by events within milliseconds and repaired by a slow relist.

Owns the only copy of runtime state in the agent. Whoever changes the runtime refreshes the object changed; events tell
of what nobody here did; the relist finds what events missed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from agent.cri.errors import CriError, CriNotFound, CriUnavailable
from agent.cri.model import Container, PodRecord, RuntimeEvent, Sandbox, State
from apimachinery.kit.tasks import is_set_within

log = logging.getLogger(__name__)

_RANK = {State.UNKNOWN: 0, State.CREATED: 1, State.RUNNING: 2, State.EXITED: 3}
# After the exit event the runtime needs a moment to write the exit down.
_EXIT_DELAYS = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.5, 1.0)

_EARLY_EXITS = 256


class Runtime(Protocol):
    """The reading half of the CRI client."""

    async def list_sandboxes(self) -> list[Sandbox]: ...
    async def list_containers(self) -> list[Container]: ...
    async def sandbox(self, sandbox_id: str) -> Sandbox: ...
    async def container(self, container_id: str) -> Container: ...


class RuntimeCache:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._listeners: list[Callable[[str], None]] = []
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._by_pod: dict[str, set[str]] = {}
        self._records: dict[str, PodRecord] = {}
        self._touched: set[str] = set()
        self._lost_networks: dict[str, str] = {}
        self._early_exits: dict[str, None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.synced = asyncio.Event()
        self.last_relist = 0.0
        """Monotonic time of the last complete one."""
        self.streaming = False
        self._relist_now = asyncio.Event()
        self._begun = 0
        self._ended = 0
        self._relisted = asyncio.Event()

    def on_change(self, listener: Callable[[str], None]) -> None:
        """`listener(uid)` is called after any change of a pod's record."""
        self._listeners.append(listener)

    # --- reading

    def record(self, uid: str) -> PodRecord:
        found = self._records.get(uid)
        if found is None:
            ids = self._by_pod.get(uid, set())
            sandboxes = [self._sandboxes[i] for i in ids if i in self._sandboxes]
            containers = [self._containers[i] for i in ids if i in self._containers]
            found = PodRecord(
                uid,
                tuple(sorted(sandboxes, key=lambda s: s.created_at, reverse=True)),
                tuple(sorted(containers, key=lambda c: c.created_at, reverse=True)),
            )
            self._records[uid] = found
        return found

    def uids(self) -> list[str]:
        return [uid for uid, ids in self._by_pod.items() if ids]

    def ids(self) -> frozenset[str]:
        """Of every sandbox and container."""
        return frozenset((*self._sandboxes, *self._containers))

    def containers(self) -> list[Container]:
        return list(self._containers.values())

    def container(self, container_id: str) -> Container | None:
        return self._containers.get(container_id)

    # --- writing

    async def refresh_sandbox(self, sandbox_id: str) -> None:
        try:
            self._put_sandbox(await self._runtime.sandbox(sandbox_id))
        except CriNotFound:
            self.drop(sandbox_id)
        except CriError:
            # Whoever asked may just have made it: it must not stay unknown until the next slow relist.
            self._relist_soon()
            raise

    async def refresh_container(self, container_id: str, sandbox_id: str = "") -> None:
        """`sandbox_id` is needed the first time: the runtime's status does not name it."""
        try:
            status = await self._runtime.container(container_id)
        except CriNotFound:
            self.drop(container_id)
            return
        except CriError:
            self._relist_soon()
            raise
        known = self._containers.get(container_id)
        self._put_container(replace(status, sandbox_id=sandbox_id or (known.sandbox_id if known else "")))

    def network_lost(self, sandbox_id: str, why: str) -> None:
        """The sandbox's network is gone from the kernel, whatever the runtime says of it."""
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is not None and sandbox.ready:
            self._lost_networks[sandbox_id] = why
            self._put_sandbox(sandbox)

    def networked(self) -> frozenset[str]:
        """Ids of the sandboxes that run and have a network of their own."""
        return frozenset(s.id for s in self._sandboxes.values() if s.ready and not s.host_network)

    def drop(self, object_id: str) -> None:
        """The object was removed from the runtime."""
        self._touched.add(object_id)
        self._lost_networks.pop(object_id, None)
        gone = self._sandboxes.pop(object_id, None) or self._containers.pop(object_id, None)
        if gone is None:
            return
        uid = gone.uid if isinstance(gone, Sandbox) else gone.pod_uid
        ids = self._by_pod.get(uid, set())
        ids.discard(object_id)
        if not ids:
            self._by_pod.pop(uid, None)
        self._changed(uid)

    def _put_sandbox(self, sandbox: Sandbox) -> None:
        self._touched.add(sandbox.id)
        sandbox = replace(sandbox, network_lost=self._lost_networks.get(sandbox.id, ""))
        if self._sandboxes.get(sandbox.id) == sandbox:
            return
        self._sandboxes[sandbox.id] = sandbox
        self._by_pod.setdefault(sandbox.uid, set()).add(sandbox.id)
        self._changed(sandbox.uid)

    def _put_container(self, container: Container) -> None:
        if not container.pod_uid:
            return
        self._touched.add(container.id)
        known = self._containers.get(container.id)
        if known == container:
            return
        # Answers may overtake each other; a container never goes back in its life.
        if known is not None and _RANK[container.state] < _RANK[known.state] and container.state is not State.UNKNOWN:
            return
        self._containers[container.id] = container
        self._by_pod.setdefault(container.pod_uid, set()).add(container.id)
        self._changed(container.pod_uid)
        if container.id in self._early_exits:
            del self._early_exits[container.id]
            if container.running:
                self.on_event(RuntimeEvent(container.id, exited=True))

    def _changed(self, uid: str) -> None:
        self._records.pop(uid, None)
        for listener in self._listeners:
            listener(uid)

    # --- events

    def on_event(self, event: RuntimeEvent) -> None:
        """Called by the event stream; never blocks."""
        if event.gone:
            self.drop(event.id)
            return
        if event.id in self._tasks and not event.exited:
            return
        task = asyncio.get_running_loop().create_task(self._handle(event))
        self._tasks[event.id] = task
        task.add_done_callback(lambda done: self._event_done(event.id, done))

    def _event_done(self, object_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(object_id) is task:
            del self._tasks[object_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("cannot follow up an event of %s: %s", object_id[:13], error)
            self._relist_now.set()

    async def _handle(self, event: RuntimeEvent) -> None:
        if event.id in self._sandboxes:
            for delay in _EXIT_DELAYS:
                await asyncio.sleep(delay)
                await self.refresh_sandbox(event.id)
                known = self._sandboxes.get(event.id)
                if not event.exited or known is None or not known.ready:
                    return
            return
        if event.id not in self._containers:
            # Ours, in the middle of being started, or a foreign one. A short-lived container may end before its
            # starter looks at it, and look alive then: the runtime writes the exit down after telling of it.
            if event.exited:
                self._early_exits[event.id] = None
                if len(self._early_exits) > _EARLY_EXITS:
                    del self._early_exits[next(iter(self._early_exits))]
            return
        for delay in _EXIT_DELAYS:
            await asyncio.sleep(delay)
            await self.refresh_container(event.id)
            known_container = self._containers.get(event.id)
            if not event.exited or known_container is None or not known_container.running:
                return

    def on_stream(self, up: bool) -> None:
        self.streaming = up
        self._relist_now.set()

    # --- relist

    async def relist(self) -> bool:
        """Compare everything; ask for details only of what differs. False: the runtime lists something of which it
        says no more. Raises CriError."""
        self._touched.clear()
        self._begun += 1
        number, whole = self._begun, True
        sandboxes = await self._runtime.list_sandboxes()
        containers = await self._runtime.list_containers()
        listed = {s.id for s in sandboxes} | {c.id for c in containers}
        for sandbox in sandboxes:
            known = self._sandboxes.get(sandbox.id)
            if known is None or known.ready != sandbox.ready:
                whole = await _each_alone(self.refresh_sandbox(sandbox.id)) and whole
        for container in containers:
            held = self._containers.get(container.id)
            if container.pod_uid and (held is None or held.listed_as is not container.state):
                whole = await _each_alone(self.refresh_container(container.id, container.sandbox_id)) and whole
        for object_id in [*self._sandboxes, *self._containers]:
            # What was made or looked at while listing may be missing from the list.
            if object_id not in listed and object_id not in self._touched:
                self.drop(object_id)
        self.last_relist = time.monotonic()
        self.synced.set()
        self._ended = number
        self._relisted.set()
        self._relisted = asyncio.Event()
        return whole

    def _relist_soon(self) -> None:
        if self._begun == self._ended:
            self._relist_now.set()

    async def seen_anew(self) -> None:
        """Wait for a whole look at the runtime that begins from now on: after a call whose effect is unknown."""
        wanted = self._begun + 1
        while self._ended < wanted:
            self._relist_now.set()
            await self._relisted.wait()

    async def run(self, relist_seconds: float) -> None:
        """Relist now and then (1 s without a stream), at once when asked. Runs until cancelled."""
        failures = 0
        while True:
            try:
                self._relist_now.clear()
                whole = await self.relist()
                failures = 0
            except CriError as error:
                failures += 1
                if failures in (1, 10) or failures % 60 == 0:
                    log.warning("cannot list the runtime's containers: %s", error)
                await asyncio.sleep(min(1.0, 0.1 * failures))
                continue
            await is_set_within(self._relist_now, relist_seconds if self.streaming and whole else 1.0)


async def _each_alone(look: Awaitable[None]) -> bool:
    """Whether the look succeeded: one object that the runtime says nothing of hides no other."""
    try:
        await look
        return True
    except CriUnavailable:
        raise
    except CriError as error:
        log.warning("relist: %s", error.detail)
        return False
