"""Plugins that register: each has a socket in the registry's directory, is asked who it is, and told what came of it.

Source: upstream's pluginmanager; kinds that there is no handler for are refused by name, as by a kubelet without one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.cri.channel import Channel
from agent.cri.errors import CriError
from agent.cri.wire import WireError
from agent.devices import messages
from agent.failures import DeviceError
from apimachinery.kit import inotify, tasks

log = logging.getLogger(__name__)

DRA, DEVICE_PLUGIN = "DRAPlugin", "DevicePlugin"
_SERVICE = "/pluginregistration.Registration/"
_INFO_SECONDS, _NOTIFY_SECONDS = 5.0, 5.0
_EVENTS = inotify.IN_CREATE | inotify.IN_DELETE | inotify.IN_MOVED_TO | inotify.IN_MOVED_FROM | inotify.IN_ONLYDIR
# What nothing tells of: a plugin in a directory below, one that was not ready when it was asked.
_LOOK_SECONDS = 5.0
_FIRST_RETRY, _LAST_RETRY = 0.5, 122.0
# How long a look waits for those that are being asked; how long they get to end.
_PATIENCE, _END_SECONDS = 0.5, 2.0

Identity = tuple[int, int]


class Handler(Protocol):
    """Who has the plugins of a kind."""

    def refusal(self, name: str, endpoint: str, services: Sequence[str], /) -> str:
        """Why a plugin cannot be had; "" where it can."""

    async def add(self, name: str, endpoint: str, services: Sequence[str], channel: Channel, /) -> None:
        """Have it, and its channel. Raises DeviceError; then the channel is still the caller's."""

    async def remove(self, name: str, endpoint: str, /) -> None:
        """It is not there any more."""


class RegistrationError(Exception):
    """A plugin is not registered; the text is what it was told, or why it could not be asked."""


@dataclass(frozen=True)
class _Registered:
    identity: Identity
    handler: Handler
    name: str
    endpoint: str


class Registry:
    """`handlers`: by kind of plugin."""

    def __init__(self, directory: Path, handlers: Mapping[str, Handler]) -> None:
        self._directory = directory
        self._handlers = handlers
        self._registered: dict[Path, _Registered] = {}
        self._refused: dict[Path, tuple[Identity, float, float]] = {}
        """Socket → what it was, when it is asked again, and how long was waited."""
        self._trying: dict[Path, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Watch the directory until cancelled."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        with inotify.Inotify() as events:
            events.add(self._directory, _EVENTS)
            try:
                while True:
                    await self.look()
                    due = min((due - time.monotonic() for _, due, _ in self._refused.values()), default=_LOOK_SECONDS)
                    await events.wait(min(max(due, 0.05), _PATIENCE if self._trying else _LOOK_SECONDS))
            finally:
                await tasks.end(list(self._trying.values()), _END_SECONDS)

    async def look(self) -> None:
        """Register who came, and forget who went or is another by now."""
        there = self._sockets()
        for path, known in list(self._registered.items()):
            if there.get(path) != known.identity:
                del self._registered[path]
                await known.handler.remove(known.name, known.endpoint)
        self._refused = {path: kept for path, kept in self._refused.items() if there.get(path) == kept[0]}
        for path, identity in there.items():
            if path not in self._registered and path not in self._trying and self._is_due(path):
                self._trying[path] = asyncio.ensure_future(self._try(path, identity))
        # One that does not answer keeps no other waiting.
        if self._trying:
            await asyncio.wait(self._trying.values(), timeout=_PATIENCE)
        for path in [path for path, task in self._trying.items() if task.done()]:
            self._trying.pop(path).result()

    def _sockets(self) -> dict[Path, Identity]:
        """Every socket whose name has no dot in front; a new one at an old path is another."""
        found = {}
        # `walk` passes over what cannot be read, and over directories that vanish meanwhile.
        every = (Path(place, name) for place, _, names in os.walk(self._directory) for name in names)
        for path in every:
            try:
                if not path.name.startswith(".") and path.is_socket():
                    told = path.stat()
                    found[path] = (told.st_ino, told.st_ctime_ns)
            except OSError:
                continue
        return found

    def _is_due(self, path: Path) -> bool:
        return path not in self._refused or time.monotonic() >= self._refused[path][1]

    async def _try(self, path: Path, identity: Identity) -> None:
        try:
            self._registered[path] = await self._register(path, identity)
            self._refused.pop(path, None)
        except (CriError, WireError, RegistrationError) as error:
            before = self._refused[path][2] if path in self._refused else 0.0
            delay = min(max(_FIRST_RETRY, 2 * before), _LAST_RETRY)
            self._refused[path] = (identity, time.monotonic() + delay, delay)
            log.warning("plugin at %r is not registered: %s", str(path), error)

    async def _register(self, path: Path, identity: Identity) -> _Registered:
        try:
            channel = Channel(path)
        except UnicodeEncodeError as error:
            raise RegistrationError("the name of its socket is no text") from error
        try:
            info = await channel.call(_SERVICE + "GetInfo", b"", messages.plugin_info, _INFO_SECONDS)
            endpoint = info.endpoint or str(path)
            if problem := await self._add(info, endpoint, path):
                await self._notify(channel, f"RegisterPlugin error -- {problem}")
                raise RegistrationError(problem)
            try:
                await self._notify(channel, "")
            except CriError:
                await self._handlers[info.type].remove(info.name, endpoint)
                raise
            return _Registered(identity, self._handlers[info.type], info.name, endpoint)
        finally:
            await channel.close()

    async def _add(self, info: messages.PluginInfo, endpoint: str, path: Path) -> str:
        """What is wrong with it; "" where it was added."""
        handler = self._handlers.get(info.type)
        if handler is None:
            return f"no handler registered for plugin type: {info.type} at socket {path}"
        if refusal := handler.refusal(info.name, endpoint, info.services):
            return f"plugin validation failed with err: {refusal}"
        channel = Channel(Path(endpoint))
        try:
            await handler.add(info.name, endpoint, info.services, channel)
        except DeviceError as error:
            await channel.close()
            return f"plugin registration failed with err: {error}"
        return ""

    async def _notify(self, channel: Channel, error: str) -> None:
        request = messages.registration_status(error)
        await channel.call(_SERVICE + "NotifyRegistrationStatus", request, bytes, _NOTIFY_SECONDS)
