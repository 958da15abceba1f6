"""A small device plugin: it registers at the agent's socket and serves v1beta1 by gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc.aio

from tests.agent.devices.protobufs import messages

PB = messages(
    {
        "Options": ("#pre_start", "#preferred"),
        "Register": ("version", "endpoint", "resource", ":Options options"),
        "Numa": ("%id",),
        "Topology": ("*:Numa nodes",),
        "Device": ("ID", "health", ":Topology topology"),
        "List": ("*:Device devices",),
        "Ids": ("*ids",),
        "Allocate": ("*:Ids containers",),
        "Wish": ("*available", "*must", "%size"),
        "Wishes": ("*:Wish containers",),
        "Mount": ("inside", "path", "#ro"),
        "Node": ("inside", "path", "may"),
        "Cdi": ("name",),
        "Given": ("{} envs", "*:Mount mounts", "*:Node nodes", "{} notes", "*:Cdi cdi"),
        "Allocated": ("*:Given containers",),
    }
)


class DevicePlugin:
    """`devices`: whether each is healthy; `near`: the NUMA nodes of those that say so."""

    def __init__(
        self,
        resource: str,
        directory: Path,
        *ids: str,
        near: Mapping[str, Sequence[int]] | None = None,
        **options: bool,
    ) -> None:
        self.resource = resource
        self.directory = directory / "device-plugins"
        self.endpoint = f"{resource.partition('/')[2]}.sock"
        self.devices = dict.fromkeys(ids, True)
        self.near = near or {}
        self.options = PB["Options"](**options)
        self.preferred: list[str] = []
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.failing = ""
        self.hangs = False
        self.cdi = True
        self._changed = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    async def start(self, version: str = "v1beta1") -> None:
        """Serve, and register. Raises AioRpcError where that is refused."""
        unary = grpc.unary_unary_rpc_method_handler
        methods = {
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(self._list),
            "GetDevicePluginOptions": unary(self._options),
            "Allocate": unary(self._allocate),
            "GetPreferredAllocation": unary(self._prefer),
            "PreStartContainer": unary(self._pre_start),
        }
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", methods),))
        self._server.add_insecure_port(f"unix://{self.directory / self.endpoint}")
        await self._server.start()
        await self.register(version)

    async def register(self, version: str = "v1beta1") -> None:
        told = {"version": version, "endpoint": self.endpoint, "resource": self.resource, "options": self.options}
        async with grpc.aio.insecure_channel(f"unix://{self.directory / 'kubelet.sock'}") as channel:
            await channel.unary_unary("/v1beta1.Registration/Register")(PB["Register"](**told).SerializeToString())

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    def say(self, **devices: bool) -> None:
        """The devices are others now."""
        self.devices = devices
        self._changed.set()

    async def _list(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        while True:
            self._changed.clear()
            listed = [self._device(each, well) for each, well in self.devices.items()]
            yield PB["List"](devices=listed).SerializeToString()
            await self._changed.wait()

    def _device(self, device: str, well: bool) -> Any:
        told = PB["Device"](ID=device, health="Healthy" if well else "Unhealthy")
        told.topology.nodes.extend(PB["Numa"](id=node) for node in self.near.get(device, ()))
        if device not in self.near:
            told.ClearField("topology")
        return told

    async def _options(self, _request: bytes, _context: Any) -> bytes:
        return bytes(self.options.SerializeToString())

    async def _allocate(self, request: bytes, context: Any) -> bytes:
        (container,) = PB["Allocate"].FromString(request).containers
        ids = tuple(container.ids)
        self.calls.append(("allocate", ids))
        if self.hangs:
            await asyncio.Event().wait()
        if self.failing:
            await context.abort(grpc.StatusCode.UNKNOWN, self.failing)
        given = PB["Given"](envs={"IDS": " ".join(ids)}, notes={"example.com/ids": "-".join(ids)})
        given.mounts.add(inside="/lib/g", path="/usr/lib", ro=True)
        given.nodes.extend(PB["Node"](inside=f"/dev/{each}", path="/dev/null", may="rw") for each in ids)
        if self.cdi:
            given.cdi.add(name=f"{self.resource}={ids[0]}")
        return bytes(PB["Allocated"](containers=[given]).SerializeToString())

    async def _prefer(self, request: bytes, _context: Any) -> bytes:
        (wish,) = PB["Wishes"].FromString(request).containers
        self.calls.append(("prefer", (*wish.available, "|", *wish.must, str(wish.size))))
        return bytes(PB["Allocate"](containers=[PB["Ids"](ids=self.preferred)]).SerializeToString())

    async def _pre_start(self, request: bytes, _context: Any) -> bytes:
        self.calls.append(("pre-start", tuple(PB["Ids"].FromString(request).ids)))
        return b""
