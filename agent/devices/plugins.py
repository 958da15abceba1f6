"""Device plugins (v1beta1): who offers devices of a resource, which containers have them, and what those get.

A plugin registers at `kubelet.sock` of its directory, or as every plugin does (`registration`), and lists its devices
for as long as it lives. When it is gone its devices are unhealthy; after five minutes there are none. At an agent's
start the sockets in the directory are removed, which tells plugins to register again.
Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/ .
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import podspec
from agent.cri.channel import Channel
from agent.cri.errors import CriError
from agent.cri.serving import CallError, Server
from agent.cri.wire import WireError
from agent.devices import allocations, plugin_messages, plugin_plan
from agent.devices.allocations import Allocations
from agent.devices.plugin_messages import UNTOLD, Given, Offered, Options
from agent.devices.resource_messages import PluginDevice
from agent.devices.statefile import StateFile
from agent.failures import DeviceError
from apimachinery.objects import Obj
from apimachinery.pods.requests import is_extended

log = logging.getLogger(__name__)

VERSION = "v1beta1"
_SERVICE = "/v1beta1.DevicePlugin/"
_CALL_SECONDS = 30.0
# How long devices of a plugin that is gone are still counted: upstream's.
_GONE_SECONDS = 300.0
_SOCKET, _STATE = "kubelet.sock", "kubelet_internal_checkpoint"


@dataclass
class _Resource:
    endpoint: str = ""
    channel: Channel | None = None
    options: Options = field(default_factory=Options)
    offered: dict[str, Offered] = field(default_factory=dict)
    """What was last said of each, also by a plugin that is gone."""
    task: asyncio.Task[None] | None = None
    gone_at: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of whoever gives devices of it away."""

    @property
    def devices(self) -> dict[str, bool]:
        """Whether each is healthy: of a plugin that is gone none is."""
        return {each: device.healthy and not self.gone_at for each, device in self.offered.items()}


class DevicePlugins:
    """`directory`: where plugins have their sockets. `changed`: called when a plugin lists its, or is gone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._resources: dict[str, _Resource] = {}
        self._allocations = Allocations()
        self._file = StateFile(directory / _STATE, lambda: allocations.dump(self._allocations))
        self._registering = asyncio.Lock()
        self.changed: list[Callable[[], None]] = []

    def load(self) -> None:
        """What an agent before this one gave away. Raises AllocationsError, OSError."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._allocations = allocations.load(self._file.path)
        self._resources = {name: _Resource() for name in self._allocations.resources}

    async def run(self) -> None:
        """Take registrations until cancelled."""
        for path in self._directory.iterdir():
            if path.is_socket():
                path.unlink(missing_ok=True)
        server = Server(self._directory / _SOCKET, {"/v1beta1.Registration/Register": self._register})
        await server.start()
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop()
            for resource in self._resources.values():
                await _end(resource)

    # --- who there is

    async def _register(self, request: bytes) -> bytes:
        told = plugin_messages.registration(request)
        if refusal := self.refusal(told.resource, told.endpoint, [told.version]):
            raise CallError(refusal)
        place = self._directory / told.endpoint
        channel = Channel(place)
        try:
            await self._begin(told.resource, str(place), told.options, channel)
        except DeviceError as error:
            await channel.close()
            raise CallError(str(error)) from error
        return b""

    def refusal(self, resource: str, endpoint: str, versions: Sequence[str]) -> str:
        """Why a plugin cannot be had; "" where it can."""
        if VERSION not in versions:
            asked = ", ".join(versions)
            return f'requested API version "{asked}" is not supported by kubelet. Supported version is ["{VERSION}"]'
        if not is_extended(resource):
            return f'the ResourceName "{resource}" is invalid'
        return ""

    async def add(self, resource: str, endpoint: str, _versions: Sequence[str], channel: Channel) -> None:
        """One that registered as every plugin does, which says nothing of what it wants to be asked."""
        try:
            path = _SERVICE + "GetDevicePluginOptions"
            options = await channel.call(path, b"", plugin_messages.options, _CALL_SECONDS)
        except (CriError, WireError) as error:
            raise DeviceError(f"failed to get device plugin options: {error}") from error
        await self._begin(resource, endpoint, options, channel)

    async def _begin(self, resource: str, endpoint: str, options: Options, channel: Channel) -> None:
        """Follow a plugin instead of the one before. Raises DeviceError where it cannot be noted that the resource is
        one: an agent after this one must not take what the Node says of it for another's, and start pods without.
        """
        async with self._registering:
            if resource not in self._allocations.resources:
                self._allocations.resources.add(resource)
                try:
                    await self._save()
                except DeviceError:
                    self._allocations.resources.discard(resource)
                    raise
            known = self._resources.setdefault(resource, _Resource())
            await _end(known)
            known.endpoint, known.channel, known.options = endpoint, channel, options
            known.task = asyncio.get_running_loop().create_task(self._follow(resource, known, channel))
        log.info("device plugin of %s registered at %s", resource, endpoint)

    async def remove(self, resource: str, endpoint: str) -> None:
        """It is not there any more."""
        async with self._registering:
            known = self._resources.get(resource)
            if known is not None and known.endpoint == endpoint:
                await _end(known)
                self._lost(known)

    async def _follow(self, resource: str, known: _Resource, channel: Channel) -> None:
        """Its list of devices, for as long as it is told."""
        try:
            async for offered in channel.stream(_SERVICE + "ListAndWatch", b"", plugin_messages.devices):
                known.offered, known.gone_at = offered, 0.0
                self._tell()
        except (CriError, WireError) as error:
            log.info("device plugin of %s: %s", resource, error)
        self._lost(known)

    def _lost(self, known: _Resource) -> None:
        known.gone_at = time.monotonic()
        self._tell()

    def _tell(self) -> None:
        for each in self.changed:
            each()

    def amounts(self) -> Mapping[str, tuple[int, int]]:
        """(capacity, allocatable) of every resource that a plugin has or had."""
        found = {}
        for name, known in self._resources.items():
            counts = not known.gone_at or time.monotonic() - known.gone_at < _GONE_SECONDS
            devices = known.devices if counts else {}
            found[name] = (len(devices), sum(devices.values()))
        return found

    def healthy(self) -> Iterator[PluginDevice]:
        """Every device that can be given away or is."""
        for name, known in sorted(self._resources.items()):
            yield from self._shown(name, (each for each, well in sorted(known.devices.items()) if well))

    def devices(self, uid: str, container: str) -> Iterator[PluginDevice]:
        """Those that a container has."""
        for name, ids in sorted(self._allocations.of(uid, container).items()):
            yield from self._shown(name, ids)

    def _shown(self, resource: str, ids: Iterable[str]) -> Iterator[PluginDevice]:
        offered = self._resources[resource].offered
        return (PluginDevice(resource, each, offered.get(each, UNTOLD).nodes) for each in ids)

    def health(self, uid: str, container: str) -> dict[str, dict[str, bool]]:
        """By resource, how each device of a container is: as its plugin said last, well where none has said."""
        return {
            resource: {each: self._resources[resource].offered.get(each, UNTOLD).healthy for each in sorted(ids)}
            for resource, ids in sorted(self._allocations.of(uid, container).items())
        }

    # --- who has what

    async def allocate(self, pod: Obj) -> None:
        """Devices for every container of a pod that is new to the node. Raises DeviceError: it cannot run here."""
        containers = [*podspec.init_containers(pod), *podspec.containers(pod)]
        wanted = sorted({name for each in containers for name in plugin_plan.wanted(each, self._resources)})
        async with contextlib.AsyncExitStack() as turns:
            # In one order for all. A plugin that does not answer keeps those waiting who want devices of its own.
            for name in wanted:
                await turns.enter_async_context(self._resources[name].turn)
            if wanted:
                await self._allocate_all(pod, containers, wanted)

    async def _allocate_all(self, pod: Obj, containers: Sequence[Obj], resources: Sequence[str]) -> None:
        reusable: set[str] = set()
        try:
            for container in containers:
                own = await self._allocate(podspec.uid(pod), container, resources, reusable)
                is_init = container in podspec.init_containers(pod)
                reusable = reusable | own if is_init and not podspec.is_sidecar(container) else reusable - own
            await self._save()
        except DeviceError:
            with contextlib.suppress(DeviceError):
                await self.release(podspec.uid(pod))
            raise

    async def _allocate(self, uid: str, container: Obj, resources: Sequence[str], reusable: set[str]) -> set[str]:
        """Its devices, as `resource//id`."""
        taken: set[str] = set()
        for resource, needed in plugin_plan.wanted(container, resources).items():
            known = self._resources[resource]
            again = {each.partition("//")[2] for each in reusable if each.startswith(f"{resource}//")}
            if had := self._allocations.of(uid, container["name"]).get(resource):
                # An agent before this one was ended before the pod had a sandbox.
                if problem := plugin_plan.lost(resource, needed, had, known.devices):
                    raise DeviceError(problem)
                taken |= {f"{resource}//{each}" for each in had}
                continue
            used = self._allocations.used(resource)
            choice = plugin_plan.choice(resource, needed, known.devices, used, again)
            if isinstance(choice, str):
                raise DeviceError(choice)
            ids = choice.taken(await self._preferred(known, choice))
            given = await self._call(
                known, "Allocate", plugin_messages.allocate_request(ids), plugin_messages.allocated
            )
            if given is None:
                raise DeviceError("no containers return in allocation response")
            self._allocations.give(uid, container["name"], resource, ids, given)
            taken |= {f"{resource}//{each}" for each in ids}
        return taken

    async def _preferred(self, known: _Resource, choice: plugin_plan.Choice) -> Sequence[str]:
        if not known.options.preferred or len(choice.must) == choice.needed:
            return ()
        available = [*choice.must, *choice.free]
        request = plugin_messages.preferred_request(available, choice.must, choice.needed)
        return await self._call(known, "GetPreferredAllocation", request, plugin_messages.preferred)

    async def _call(
        self, known: _Resource, method: str, request: bytes, decode: Callable[[bytes], plugin_messages.T]
    ) -> plugin_messages.T:
        if known.channel is None:
            raise DeviceError("the device plugin is not registered")
        try:
            return await known.channel.call(_SERVICE + method, request, decode, _CALL_SECONDS)
        except (CriError, WireError) as error:
            raise DeviceError(f"{error}") from error

    async def pre_start(self, uid: str, container: str) -> None:
        """What plugins want to do before a container that has devices of theirs starts. Raises DeviceError."""
        for resource, ids in self._allocations.of(uid, container).items():
            known = self._resources[resource]
            if known.options.pre_start:
                try:
                    await self._call(known, "PreStartContainer", plugin_messages.pre_start_request(ids), bytes)
                except DeviceError as error:
                    raise DeviceError(f"device plugin PreStartContainer rpc failed with err: {error}") from error

    def given(self, uid: str, container: str) -> Given:
        """What a container gets with its devices."""
        return self._allocations.given(uid, container)

    def users(self) -> set[str]:
        """Uids of the pods that have devices."""
        return self._allocations.users()

    async def release(self, uid: str) -> None:
        """Nothing of the pod runs any more. Raises DeviceError."""
        if self._allocations.release(uid):
            await self._save()

    async def _save(self) -> None:
        try:
            await self._file.write()
        except OSError as error:
            raise DeviceError(f"failed to write checkpoint file: {error}") from error


async def _end(resource: _Resource) -> None:
    if resource.task is not None:
        resource.task.cancel()
        await asyncio.wait((resource.task,))
    if resource.channel is not None:
        await resource.channel.close()
    resource.task = resource.channel = None
