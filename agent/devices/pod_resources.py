"""The pod resources API: which devices the pods of this node have, told at a socket to whoever monitors them.

No container has CPUs or memory to itself on this node, so nothing is said of those, as by upstream's kubelet without a
CPU or memory manager. Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
(Monitoring device plugin resources).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from agent import podspec
from agent.cri.serving import CallError, Server
from agent.cri.wire import WireError
from agent.devices import resource_messages as messages
from agent.devices.claims import Claims
from agent.devices.plugins import DevicePlugins
from apimachinery.objects import Obj

_SOCKET = "kubelet.sock"
_ENDED = ("Succeeded", "Failed")


class Listed(Protocol):
    """The pods of this node, with their statuses."""

    def pods(self) -> list[Obj]: ...
    def find_pod(self, namespace: str, name: str) -> Obj | None: ...


class PodResources:
    """`directory`: where its socket is to be."""

    def __init__(self, directory: Path, pods: Listed, plugins: DevicePlugins, claims: Claims) -> None:
        self._directory = directory
        self._pods, self._plugins, self._claims = pods, plugins, claims

    async def run(self) -> None:
        """Answer until cancelled. Raises OSError."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        socket = self._directory / _SOCKET
        # An agent that was killed left its own.
        socket.unlink(missing_ok=True)
        methods = {
            "/v1.PodResourcesLister/List": self._list,
            "/v1.PodResourcesLister/Get": self._get,
            "/v1.PodResourcesLister/GetAllocatableResources": self._allocatable,
            "/v1alpha1.PodResourcesLister/List": self._list_alpha,
        }
        server = Server(socket, methods)
        await server.start()
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop()

    async def _list(self, _request: bytes) -> bytes:
        there = (pod for pod in self._pods.pods() if (pod.get("status") or {}).get("phase") not in _ENDED)
        return messages.repeated(1, map(self._told, there))

    async def _get(self, request: bytes) -> bytes:
        try:
            namespace, name = messages.asked(request)
        except WireError as error:
            raise CallError(str(error)) from error
        pod = self._pods.find_pod(namespace, name)
        if pod is None:
            raise CallError(f"pod {name} in namespace {namespace} not found")
        return messages.repeated(1, (self._told(pod),))

    async def _allocatable(self, _request: bytes) -> bytes:
        return messages.repeated(1, _shown(self._plugins.healthy()))

    async def _list_alpha(self, _request: bytes) -> bytes:
        """Of every pod, also one that has ended, and without what v1 added."""
        return messages.repeated(1, map(self._told_alpha, self._pods.pods()))

    def _told(self, pod: Obj) -> bytes:
        lasting = [*filter(podspec.is_sidecar, podspec.init_containers(pod)), *podspec.containers(pod)]
        containers = (
            messages.container(
                each["name"],
                _shown(self._plugins.devices(podspec.uid(pod), each["name"])),
                map(messages.claim, self._claims.held(pod, each)),
            )
            for each in lasting
        )
        return messages.pod(podspec.namespace(pod), podspec.name(pod), containers)

    def _told_alpha(self, pod: Obj) -> bytes:
        containers = (
            messages.container(
                each["name"],
                _shown(
                    messages.PluginDevice(one.resource, one.id)
                    for one in self._plugins.devices(podspec.uid(pod), each["name"])
                ),
            )
            for each in podspec.containers(pod)
        )
        return messages.pod(podspec.namespace(pod), podspec.name(pod), containers)


def _shown(devices: Iterable[messages.PluginDevice]) -> Iterator[bytes]:
    for one in devices:
        yield from messages.device(one)
