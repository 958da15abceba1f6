"""A monitoring agent: it asks the pod resources API (v1, or an older version) by gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from tests.agent.devices.protobufs import messages

PB = messages(
    {
        "Numa": ("%id",),
        "Topology": ("*:Numa nodes",),
        "Devices": ("resource", "*ids", ":Topology topology"),
        "Cdi": ("name",),
        "Part": ("*:Cdi cdi", "driver", "pool", "device", "share"),
        "Claim": ("old", "name", "namespace", "*:Part parts"),
        "Container": ("name", "*:Devices devices", "*%cpus", "*memory", "*:Claim claims"),
        "Pod": ("name", "namespace", "*:Container containers"),
        "Pods": ("*:Pod pods",),
        "One": (":Pod pod",),
        "Which": ("name", "namespace"),
        "Allocatable": ("*:Devices devices",),
    }
)


class Monitor:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def ask(self, method: str, answer: str, request: bytes = b"", version: str = "v1") -> Any:
        """Raises AioRpcError."""
        call = self._channel.unary_unary(f"/{version}.PodResourcesLister/{method}")
        return PB[answer].FromString(await call(request))


@asynccontextmanager
async def monitoring(directory: Path) -> AsyncIterator[Monitor]:
    async with grpc.aio.insecure_channel(f"unix://{directory / 'kubelet.sock'}") as channel:
        yield Monitor(channel)


def devices(told: Any) -> list[tuple[str, list[str], list[int]]]:
    """Resource, ids and NUMA nodes of what a container has, or of all."""
    return [(each.resource, list(each.ids), [node.id for node in each.topology.nodes]) for each in told.devices]
