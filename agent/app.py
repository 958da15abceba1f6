"""The composition root: builds the agent bottom up, stops it in reverse.

Standalone (no kubeconfig) it runs static pods only; everything else is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from agent.admission.gate import Gate
from agent.containers.cleaning import Cleaner
from agent.containers.container_config import Hardware
from agent.containers.gather import Gatherer
from agent.containers.images import Images
from agent.containers.kill import Killer
from agent.containers.sandbox import Sandboxes
from agent.containers.slots import Slots
from agent.containers.start import Starter
from agent.cri.cache import RuntimeCache
from agent.cri.client import CriClient
from agent.cri.errors import CriError
from agent.cri.heard import QUICK_SECONDS, Heard
from agent.devices import registration
from agent.devices.claims import Claims
from agent.devices.drivers import Drivers
from agent.devices.plugins import DevicePlugins
from agent.devices.pod_resources import PodResources
from agent.env.build import Environment
from agent.host.cgroups import Cgroups, Hierarchy, swap_counted
from agent.host.dns import ResolverError, resolv_conf_complaint
from agent.host.names import PodNames, read_resolv_conf
from agent.leftovers.collect import Leftovers
from agent.logs.rotate import LogRotator
from agent.node.address import node_addresses
from agent.node.expected import expected_node
from agent.node.registrar import Registrar
from agent.objects.cache import Objects
from agent.pods.applier import Applier
from agent.pods.pods import Pods
from agent.pods.shared import Shared
from agent.pods.storage import StorageLimits
from agent.pods.sweep import Sweeper
from agent.pods.view import View
from agent.probes.probers import Probes
from agent.reporter import Reporter
from agent.server.serve import serve
from agent.settings import AgentSettings
from agent.sources.api import ApiSource
from agent.sources.file import FileSource
from agent.sources.model import PodSource
from agent.status.mirror import Mirrors
from agent.status.writer import StatusWriter
from agent.volumes.host import Volumes
from agent.volumes.refresh import Refresher
from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.objects import Obj

log = logging.getLogger(__name__)


def hardware() -> Hardware:
    """What the machine and its kernel offer to containers."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    sizes = []
    for directory in sorted(Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB"), key=_page_size):
        size = _page_size(directory)
        sizes.append(f"{size >> 20}GB" if size >= 1 << 20 else f"{size >> 10}MB")
    hierarchy = Hierarchy.detect()
    return Hardware(memory, tuple(sizes), cgroup_v2=hierarchy.unified, swap_counted=swap_counted(hierarchy))


def _page_size(directory: Path) -> int:
    return int(directory.name.removeprefix("hugepages-").removesuffix("kB"))


NetworkCheck = Callable[[frozenset[str]], Awaitable[Mapping[str, str]]]
"""Of these sandboxes, by id, those whose network is gone from the kernel, and what of it is."""


class Agent:
    """Everything one agent is made of. `start` builds and spawns; the lifecycle ends it."""

    def __init__(self, settings: AgentSettings, runtime: CriClient | None = None) -> None:
        """`runtime`: instead of the one at the settings' socket."""
        self.settings = settings
        self.client = (
            Client.from_kubeconfig(settings.kubeconfig, user_agent="wherry-agent") if settings.kubeconfig else None
        )
        self.recorder = EventRecorder(self.client, "kubelet", settings.node_name) if self.client else None
        self.reporter = Reporter(self.recorder, settings.node_name)
        self.runtime = runtime or CriClient(settings.cri_socket, settings.runtime_request_seconds)
        self.info = Heard(self.runtime.info, QUICK_SECONDS)
        self._expected: Obj | None = None
        self.objects = Objects(self.client, settings.node_name)
        self.volumes = Volumes(settings, self.objects, lambda: self.info.last)
        self.writer = StatusWriter(self.client)
        self.mirrors = (
            Mirrors(self.client, self.writer.set_mirror, self.objects.node) if self.client is not None else None
        )
        self.sources: list[PodSource] = [
            *([ApiSource(self.client, settings.node_name, self.objects.node_synced)] if self.client else []),
            *(
                [FileSource(settings.static_pod_dir, settings.node_name, settings.file_check_seconds)]
                if settings.static_pod_dir
                else []
            ),
        ]
        self.cache = RuntimeCache(self.runtime)
        self.cgroups = Cgroups(settings.cgroup_root, Hierarchy.detect()) if settings.manage_cgroups else None
        self.drivers = Drivers(self.client, settings.node_name)
        self.devices = Claims(self.client, settings.root_dir / "dra_manager_state", self.drivers)
        self.plugins = DevicePlugins(settings.root_dir / "device-plugins")
        self.refresher = Refresher(self.volumes, self.reporter)
        self.shared = self._shared()
        names = (source.name for source in self.sources)
        self.pods = Pods(self.shared, self.refresher, names, self.objects.pod_gone, self.mirrors)
        self.view = View(self.runtime, self.cache, self.pods, self.info)
        self.cache.on_change(self.pods.wake)
        self.shared.probes.on_change(self.pods.wake)
        self.objects.on_change(self.pods.objects_changed)
        self.plugins.changed.append(self._devices_changed)

    def _shared(self) -> Shared:
        settings, runtime, cache, reporter = self.settings, self.runtime, self.cache, self.reporter
        killer = Killer(runtime, cache, reporter)
        cleaner = Cleaner(runtime, cache, settings.root_dir, settings.pod_log_dir)
        return Shared(
            settings=settings,
            cache=cache,
            applier=self._applier(killer, cleaner),
            killer=killer,
            cleaner=cleaner,
            volumes=self.volumes,
            devices=self.devices,
            plugins=self.plugins,
            cgroups=self.cgroups,
            probes=Probes(runtime, reporter),
            statuses=self.writer,
            reporter=reporter,
            gate=Gate(settings, self.node, self.objects.fresh_node),
            node_ips=self.node_ips,
        )

    def _applier(self, killer: Killer, cleaner: Cleaner) -> Applier:
        settings, runtime, cache, reporter = self.settings, self.runtime, self.cache, self.reporter
        environment = Environment(settings, self.objects, reporter)
        images = Images(runtime, reporter, environment, parallel=settings.parallel_pulls)
        names = PodNames(settings, reporter, self.node_ips)
        slots = Slots(settings.parallel_starts or 2 * (os.cpu_count() or 1))
        gatherer = Gatherer(
            settings, cache, self.volumes, environment, names, hardware(), self.devices, self.plugins, runtime.takes_cdi
        )
        return Applier(
            Sandboxes(runtime, cache, names, self.objects.runtime_handler, reporter, slots, settings.pod_log_dir),
            Starter(runtime, cache, images, gatherer, killer, reporter, slots, lambda: self.info.last),
            killer,
            cleaner,
            reporter,
        )

    def _devices_changed(self) -> None:
        """Statuses say how devices are."""
        for uid in self.plugins.users():
            self.pods.wake(uid)

    def node_ips(self) -> tuple[str, ...]:
        """The node's addresses: stated, or from its own object once that is known."""
        if self.settings.node_ip:
            return node_addresses(self.settings)
        status = (self.objects.node() or {}).get("status") or {}
        return tuple(a["address"] for a in status.get("addresses") or () if a["type"] == "InternalIP")

    def node(self) -> Obj:
        """Our Node, or what it will be registered as."""
        known = self.objects.node()
        if known is not None and (known.get("status") or {}).get("allocatable"):
            return known
        self._expected = self._expected or expected_node(self.settings)
        # A Node that somebody else made says nothing of this machine before the first status is posted.
        return {**known, "status": self._expected["status"]} if known is not None else self._expected

    async def start(self, lifecycle: Lifecycle, networks: NetworkCheck | None = None) -> None:
        """Spawn the workers, runtime first: nothing acts before what runs is known, nor before `networks` has said
        what became of pods' networks while no agent was there to be told."""
        settings = self.settings
        settings.root_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        settings.pod_log_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.devices.load()
        self.plugins.load()
        lifecycle.push("runtime connection", self.runtime.close)
        lifecycle.push("DRA drivers", self.drivers.close)
        if self.client is not None:
            lifecycle.push("API client", self.client.close)
        lifecycle.push("pod workers", self.pods.stop)
        lifecycle.spawn("runtime cache", self.cache.run(settings.relist_seconds))
        lifecycle.spawn("runtime events", self.runtime.follow(self.cache.on_event, self.cache.on_stream))
        lifecycle.spawn("object caches", self.objects.run())
        lifecycle.spawn("status writer", self.writer.run())
        if self.recorder is not None:
            lifecycle.spawn("events", self.recorder.run())
        if self.mirrors is not None:
            lifecycle.spawn("mirror pods", self.mirrors.run())
        for source in self.sources:
            lifecycle.spawn(f"{source.name} pods", source.run(self.pods))
        lifecycle.spawn("volumes", self.refresher.run())
        # Nobody has registered yet: no device of this node is offered before somebody does.
        lifecycle.spawn("slices", self.drivers.wipe())
        handlers: dict[str, registration.Handler] = {
            registration.DRA: self.drivers,
            registration.DEVICE_PLUGIN: self.plugins,
        }
        registry = registration.Registry(settings.root_dir / "plugins_registry", handlers)
        lifecycle.spawn("plugins", registry.run())
        lifecycle.spawn("device plugins", self.plugins.run())
        told = PodResources(settings.root_dir / "pod-resources", self.view, self.plugins, self.devices)
        lifecycle.spawn("pod resources", told.run())
        lifecycle.spawn("pods", self._open(networks))
        lifecycle.spawn("sweep", Sweeper(self.shared, self.pods).run())
        lifecycle.spawn("storage limits", StorageLimits(settings, self.view, self.pods).run())
        leftovers = Leftovers(self.runtime.containerd, self.cgroups, self.cache.ids)
        lifecycle.spawn("leftovers", leftovers.run(self.cache.synced))
        await self._serve(lifecycle)

    def _check_resolver(self) -> None:
        """What pods cannot be given of the node's resolver is told once, at start."""
        path = self.settings.resolv_conf
        try:
            host = read_resolv_conf(path)
            complaint = resolv_conf_complaint(str(path), host, self.settings.cluster_domain) if host else ""
        except ResolverError as error:
            complaint = str(error)
        if complaint:
            self.reporter.node("Warning", "CheckLimitsForResolvConf", complaint)

    async def _open(self, networks: NetworkCheck | None) -> None:
        await self.cache.synced.wait()
        if networks is not None:
            # Nothing makes or ends a sandbox now: one that runs without its interface has lost it.
            for sandbox_id, why in (await networks(self.cache.networked())).items():
                self.cache.network_lost(sandbox_id, why)
        self._check_resolver()
        # What the runtime can do; a runtime that cannot say is asked again for the node's status.
        with contextlib.suppress(CriError, asyncio.TimeoutError):
            await self.view.info()
        self.pods.open()

    async def _serve(self, lifecycle: Lifecycle) -> None:
        """The parts that show the node to others."""
        port = await serve(lifecycle, self.settings, self.view, self.client)
        lifecycle.spawn("log rotation", LogRotator(self.settings, self.view).run())
        if self.client is not None:
            registrar = Registrar(self.settings, self.client, self.view, port, self.reporter, self.plugins.amounts)
            self.plugins.changed.append(registrar.changed.set)
            lifecycle.spawn("node", registrar.run())


async def run(settings: AgentSettings, lifecycle: Lifecycle) -> Agent:
    """Build the agent and spawn its workers."""
    agent = Agent(settings)
    await agent.start(lifecycle)
    log.info("agent of node %s: runtime %s", settings.node_name, settings.cri_socket)
    return agent


__all__ = ["Agent", "hardware", "run"]
