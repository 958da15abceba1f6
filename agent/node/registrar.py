"""The loops that keep our Node alive in the API: registration, status, lease."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.cri.model import RuntimeInfo
from agent.node.address import node_addresses
from agent.node.facts import read_facts
from agent.node.lease import LeaseKeeper
from agent.node.registration import initial_node, reconcile, same_but_heartbeat, status_patch
from agent.node.setters import SETTERS, Observation, not_ready_reasons
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.view import RuntimeView
from apimachinery import kinds, objects, timestamps
from apimachinery.client import Client, PatchType
from apimachinery.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

RUNTIME_SECONDS = 5.0
# A node that is not Ready is looked at this often: CRI has no event for a network that became ready.
UNREADY_SECONDS = 0.1
FIRST_RETRY_SECONDS = 0.1
# Between a look and the next for the sake of what says that it changed.
CHANGED_SECONDS = 1.0
MAX_RETRY_SECONDS = 7.0
_CONFLICT_TRIES = 5
_NODE_EVENTS = {
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
}


class Registrar:
    """Owns the Node object of `settings.node_name`."""

    def __init__(
        self,
        settings: AgentSettings,
        client: Client,
        view: RuntimeView,
        server_port: int,
        reporter: Reporter,
        devices: Callable[[], Mapping[str, tuple[int, int]]] = dict,
    ) -> None:
        """`devices`: capacity and allocatable of the resources of plugins."""
        self._settings = settings
        self._client = client
        self._view = view
        self._port = server_port
        self._reporter = reporter
        self._devices = devices
        self.changed = asyncio.Event()
        """Set by whoever knows that the status says something else by now."""
        self._unschedulable = False
        self._boot_told = False
        self._addresses = node_addresses(settings)
        self._lease = LeaseKeeper(client, settings.node_name, settings.lease_seconds)
        self._registered = False
        self._posted = 0.0

    async def run(self) -> None:
        """Register, then keep status and lease until cancelled."""
        await asyncio.gather(self._status_loop(), self._lease.run())

    async def _status_loop(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while True:
            self.changed.clear()
            try:
                ready = await self._sync()
            except (ApiError, Unreachable) as error:
                log.warning("node %s: status not posted: %s", self._settings.node_name, error)
                await asyncio.sleep(delay * (1 + random.random() * 0.1))
                delay = min(delay * 2, MAX_RETRY_SECONDS)
                continue
            delay = FIRST_RETRY_SECONDS
            if ready:
                # A device whose health flickers is no reason to write all the time; one that comes is told at once.
                pause = min(CHANGED_SECONDS, self._settings.node_status_seconds)
                await asyncio.sleep(pause)
                await is_set_within(self.changed, self._settings.node_status_seconds - pause)
            else:
                await self._until_ready()

    async def _until_ready(self) -> None:
        """Wait one period at most; shorter when the runtime and its network become ready."""
        end = time.monotonic() + self._settings.node_status_seconds
        while time.monotonic() < end:
            await asyncio.sleep(UNREADY_SECONDS)
            info = await self._runtime_info()
            if info is not None and info.ready and info.network_ready and not self._view.healthy():
                return

    async def _sync(self) -> bool:
        """One look at the machine, posted where it says something new; whether the node is Ready."""
        seen = await self._observe()
        node = await self._current() if self._registered else None
        if node is None:
            node = await self._register(seen)
            self._registered = True
        self._look(node, seen)
        await self._post(node, seen)
        return not not_ready_reasons(seen)

    async def _current(self) -> Obj | None:
        """The Node as it is now: others write it too, and it may have been deleted."""
        try:
            return await self._client.get(kinds.NODE, self._settings.node_name)
        except NotFound:
            log.warning("node %s: gone from the API, registering again", self._settings.node_name)
            return None

    async def _observe(self) -> Observation:
        info = await self._runtime_info()
        images: tuple[Any, ...] | None = None
        if info is not None:
            try:
                images = tuple(await asyncio.wait_for(self._view.images(), RUNTIME_SECONDS))
            except Exception as error:
                log.warning("cannot list images: %s", error)
        return Observation(
            now=timestamps.format_time(timestamps.now()),
            facts=read_facts(self._settings.root_dir),
            runtime=info,
            in_grace=self._view.in_grace(),
            unhealthy=self._view.healthy(),
            images=images,
            addresses=self._addresses,
            node_name=self._settings.node_name,
            port=self._port,
            max_pods=self._settings.max_pods,
            devices=self._devices(),
        )

    async def _runtime_info(self) -> RuntimeInfo | None:
        try:
            return await asyncio.wait_for(self._view.info(), RUNTIME_SECONDS)
        except Exception as error:
            # Whatever the runtime does, the node must go on saying that it is there.
            log.debug("runtime does not answer: %s", error)
            return None

    async def _register(self, seen: Observation) -> Obj:
        wanted = self._wanted(seen)
        if self._settings.register_node:
            try:
                created = await self._client.create(kinds.NODE, wanted)
            except AlreadyExists:
                pass
            else:
                log.info("node %s: registered", self._settings.node_name)
                self._reporter.node("Normal", "Starting", "Starting kubelet.")
                self._posted = time.monotonic()
                self._lease.node_known(created)
                return created
        node = await self._client.get(kinds.NODE, self._settings.node_name)
        patch = reconcile(node, wanted)
        if patch is not None:
            node = await self._client.patch(kinds.NODE, self._settings.node_name, patch, patch_type=PatchType.MERGE)
        log.info("node %s: was already registered", self._settings.node_name)
        self._reporter.node("Normal", "Starting", "Starting kubelet.")
        self._posted = 0.0
        self._lease.node_known(node)
        return node

    def _wanted(self, seen: Observation) -> Obj:
        status: Obj = {}
        for setter in SETTERS:
            setter(status, seen)
        settings = self._settings
        return initial_node(
            settings.node_name,
            seen.facts.architecture,
            settings.register_labels,
            settings.register_taints,
            settings.provider_id,
            status,
        )

    async def _post(self, node: Obj, seen: Observation) -> None:
        for _ in range(_CONFLICT_TRIES):
            old = node.get("status") or {}
            new = objects.copy(old)
            for setter in SETTERS:
                setter(new, seen)
            overdue = time.monotonic() - self._posted >= self._settings.node_status_report_seconds
            if same_but_heartbeat(old, new) and not overdue and self._posted:
                return
            patch = status_patch(old, new)
            # Conditions are sent whole: never over a change by somebody else.
            patch["metadata"] = {"resourceVersion": node["metadata"].get("resourceVersion", "")}
            name = self._settings.node_name
            try:
                await self._client.patch(kinds.NODE, name, patch, subresource="status", patch_type=PatchType.MERGE)
            except Conflict:
                node = await self._client.get(kinds.NODE, name)
                continue
            self._posted = time.monotonic()
            self._tell(old, new)
            return
        raise Unreachable(f"node {self._settings.node_name}: status kept conflicting")

    def _tell(self, old: Obj, new: Obj) -> None:
        before = {c["type"]: c["status"] for c in old.get("conditions") or []}
        for condition in new.get("conditions") or []:
            kind, value = condition["type"], condition["status"]
            if before.get(kind) != value and (kind, value) in _NODE_EVENTS:
                self._say(_NODE_EVENTS[(kind, value)])

    def _look(self, node: Obj, seen: Observation) -> None:
        """What others did to the Node, or the machine's owner to it, since the last look."""
        name, unschedulable = self._settings.node_name, bool((node.get("spec") or {}).get("unschedulable"))
        if unschedulable is not self._unschedulable:
            self._unschedulable = unschedulable
            self._say("NodeNotSchedulable" if unschedulable else "NodeSchedulable")
        before = ((node.get("status") or {}).get("nodeInfo") or {}).get("bootID")
        if before and before != seen.facts.boot_id and not self._boot_told:
            self._boot_told = True
            text = f"Node {name} has been rebooted, boot id: {seen.facts.boot_id}"
            self._reporter.node("Warning", "Rebooted", text)

    def _say(self, reason: str) -> None:
        self._reporter.node("Normal", reason, f"Node {self._settings.node_name} status is now: {reason}")
