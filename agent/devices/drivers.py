"""The DRA drivers that are registered, and whether somebody answers for them.

Of a driver that updates itself two plugins may be there for a while: the newest that is connected is asked. Slices of a
driver that nobody has answered for since half a minute are deleted, so that no pod is sent here for its devices; a
driver that comes back publishes them anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.cri.channel import Channel
from agent.devices import messages
from agent.devices.messages import ClaimRef, Outcome
from agent.failures import DeviceError
from apimachinery import kinds
from apimachinery.client import Client
from apimachinery.errors import ApiError, NotFound, Unreachable
from apimachinery.formats import dns1123_subdomain

log = logging.getLogger(__name__)

SERVICES = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
"""What drivers may speak, as they say it when they register."""

# Upstream's: half of what a pod waits before it is tried again, and how long a driver may be away.
_CALL_SECONDS = 45.0
_GONE_SECONDS = 30.0
_AGAIN_SECONDS = 5.0


class Plugin:
    """One process of a driver."""

    def __init__(self, driver: str, channel: Channel, service: str) -> None:
        self.driver = driver
        self.connected = False
        self._channel = channel
        self._service = f"/k8s.io.kubelet.pkg.apis.dra.{service}/"

    async def prepare(self, claims: Sequence[ClaimRef]) -> dict[str, Outcome]:
        """By uid. Raises CriError, WireError."""
        request = messages.claims_request(claims)
        path = self._service + "NodePrepareResources"
        return await self._channel.call(path, request, messages.prepared, _CALL_SECONDS)

    async def unprepare(self, claims: Sequence[ClaimRef]) -> dict[str, Outcome]:
        """By uid. Raises CriError, WireError."""
        request = messages.claims_request(claims)
        path = self._service + "NodeUnprepareResources"
        return await self._channel.call(path, request, messages.unprepared, _CALL_SECONDS)

    async def follow(self, changed: Callable[[], None]) -> None:
        """Keep `connected`, until cancelled."""
        async for connected in self._channel.connectivity():
            if connected != self.connected:
                self.connected = connected
                changed()


@dataclass
class _Entry:
    endpoint: str
    plugin: Plugin
    channel: Channel
    task: asyncio.Task[None] = field(init=False)


class Drivers:
    """`client` None: on a node without an API server, where there are no slices to delete."""

    def __init__(self, client: Client | None, node_name: str) -> None:
        self._client = client
        self._node = node_name
        self._entries: dict[str, list[_Entry]] = {}
        self._wiping: dict[str, asyncio.Task[None]] = {}

    def get(self, driver: str) -> Plugin:
        """Whom to ask. Raises DeviceError."""
        entries = self._entries.get(driver)
        if not entries:
            raise DeviceError(f"DRA driver {driver} is not registered", awaited=True)
        return next((e.plugin for e in reversed(entries) if e.plugin.connected), entries[-1].plugin)

    def refusal(self, driver: str, endpoint: str, services: Sequence[str]) -> str:
        """Why a plugin cannot be registered; "" where it can."""
        if wrong := dns1123_subdomain(driver.lower()):
            # Its slices are deleted by its name: one without would take those of all drivers along.
            return f"invalid name of DRA driver plugin {driver!r}: {wrong[0]}"
        if _chosen(services):
            return ""
        why = "empty list of supported gRPC services (aka supported versions)"
        if services:
            why = (
                f"none of services supported by the plugin ({_listed(services)}) are supported by the kubelet"
                f" ({_listed(SERVICES)})"
            )
        return f"invalid supported gRPC versions of DRA driver plugin {driver} at endpoint {endpoint}: {why}"

    async def add(self, driver: str, endpoint: str, services: Sequence[str], channel: Channel) -> None:
        """Have a plugin. Raises DeviceError where its endpoint is another's."""
        entries = self._entries.setdefault(driver, [])
        if any(entry.endpoint == endpoint for entry in entries):
            raise DeviceError(f"endpoint {endpoint} already registered for DRA driver plugin {driver}")
        entry = _Entry(endpoint, Plugin(driver, channel, _chosen(services)), channel)
        entry.task = asyncio.get_running_loop().create_task(
            entry.plugin.follow(lambda: self._changed(driver)), name=f"plugin of {driver}"
        )
        entries.append(entry)
        log.info("DRA driver %s registered at %s", driver, endpoint)
        self._changed(driver)

    async def remove(self, driver: str, endpoint: str) -> None:
        """It is not there any more."""
        entries = self._entries.get(driver, [])
        for entry in [entry for entry in entries if entry.endpoint == endpoint]:
            entries.remove(entry)
            entry.task.cancel()
            await entry.channel.close()
            log.info("DRA driver %s is gone from %s", driver, endpoint)
        if not entries:
            self._entries.pop(driver, None)
        self._changed(driver)

    async def close(self) -> None:
        """End every connection."""
        for task in self._wiping.values():
            task.cancel()
        for entry in [entry for entries in self._entries.values() for entry in entries]:
            entry.task.cancel()
            await entry.channel.close()

    def _changed(self, driver: str) -> None:
        usable = any(entry.plugin.connected for entry in self._entries.get(driver, ()))
        if usable and (task := self._wiping.pop(driver, None)):
            task.cancel()
        elif not usable and driver not in self._wiping:
            loop = asyncio.get_running_loop()
            self._wiping[driver] = loop.create_task(self._wipe_later(driver), name=f"slices of {driver}")

    async def _wipe_later(self, driver: str) -> None:
        await asyncio.sleep(_GONE_SECONDS)
        await self.wipe(driver)
        self._wiping.pop(driver, None)

    async def wipe(self, driver: str = "") -> None:
        """Delete this node's slices, of one driver or of all: at an agent's start none has registered yet."""
        selector = f"spec.nodeName={self._node}" + f",spec.driver={driver}" * bool(driver)
        while self._client is not None:
            try:
                await self._client.delete_collection(kinds.RESOURCE_SLICE, field_selector=selector)
                return
            except NotFound:
                return
            except (ApiError, Unreachable) as error:
                log.info("cannot delete ResourceSlices of %s: %s", driver or "all drivers", error)
            await asyncio.sleep(_AGAIN_SECONDS)


def _chosen(services: Sequence[str]) -> str:
    """The first that both speak."""
    return next((service for service in services if service in SERVICES), "")


def _listed(services: Sequence[str]) -> str:
    """As Go prints quoted texts of a list."""
    return "[" + " ".join(f'"{service}"' for service in services) + "]"
