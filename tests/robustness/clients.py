"""Clients that write, read, list and watch ConfigMaps of one namespace, and write down what they saw.

Each talks to one server and goes to the next when that one fails. Writers replace what they know to be there; all of
them fight over few objects.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import Sequence
from typing import Any

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj
from tests.robustness.history import Event, History, Listing, Outcome, Read, Watch, Write

SPACE = "default"
PREFIX = "wht"
_PAUSE = 0.05
# A server that hangs is left for the next one after so many seconds.
_PATIENCE = 8.0
# Seconds for which a watcher is there that is away now and then.
_STAY = 2.0
_REFUSALS = (errors.Conflict, errors.AlreadyExists, errors.NotFound)

Stood = tuple[int, str]


def revision(obj: Obj) -> int:
    return int(obj["metadata"]["resourceVersion"])


def value(obj: Obj) -> str:
    return str((obj.get("data") or {}).get("v", ""))


class Servers:
    """Where a client asks, one at a time."""

    def __init__(self, urls: Sequence[str], context: ssl.SSLContext, first: int) -> None:
        self._clients = [Client(url, context) for url in urls]
        self._at = first % len(urls)

    @property
    def client(self) -> Client:
        return self._clients[self._at]

    def next(self) -> None:
        self._at = (self._at + 1) % len(self._clients)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


class Clients:
    """All of them, on one history; stop is set when they are to end."""

    def __init__(self, urls: Sequence[str], context: ssl.SSLContext, keys: int, rng: random.Random) -> None:
        self._urls, self._context, self._rng = urls, context, rng
        self._keys = [f"{PREFIX}{number}" for number in range(keys)]
        self._values = itertools.count()
        self.history = History()
        self.stop = asyncio.Event()
        # What anybody knows to stand where; whoever is wrong finds out.
        self._known: dict[str, Stood] = {}
        self.answered: list[float] = []
        self.refused: dict[str, int] = {}

    def forget(self) -> None:
        """Of the time until all servers were there only what was seen counts, not how long it took."""
        self.answered.clear()
        self.refused.clear()

    @staticmethod
    def now() -> float:
        """Seconds of the clock of all times here."""
        return asyncio.get_running_loop().time()

    async def _asked(self, servers: Servers, work: Any) -> Any:
        """One request; its error where it fails."""
        try:
            found = await asyncio.wait_for(work, _PATIENCE)
        except (errors.ApiError, errors.Unreachable, asyncio.TimeoutError, OSError) as error:
            if not isinstance(error, _REFUSALS):
                self.refused[type(error).__name__] = self.refused.get(type(error).__name__, 0) + 1
                servers.next()
                await asyncio.sleep(_PAUSE)
            return error
        self.answered.append(self.now())
        return found

    async def writer(self, number: int) -> None:
        servers = Servers(self._urls, self._context, number)
        try:
            while not self.stop.is_set():
                await self._write(servers, self._rng.choice(self._keys))
        finally:
            await servers.close()

    async def _write(self, servers: Servers, key: str) -> None:
        expect, _ = self._known.get(key, (0, ""))
        new = "" if expect and self._rng.random() < 0.2 else f"v{next(self._values)}"
        begun = self.now()
        found = await self._asked(servers, self._sent(servers.client, key, new, expect))
        outcome = Outcome.DONE
        if isinstance(found, BaseException):
            outcome = Outcome.REFUSED if isinstance(found, _REFUSALS) else Outcome.UNKNOWN
        at = revision(found) if outcome is Outcome.DONE and new else 0
        self.history.writes.append(Write(key, new, expect, begun, self.now(), outcome, at))
        if outcome is Outcome.DONE:
            self._known[key] = (at, new)
        else:
            await self._read(servers, key)

    def _sent(self, client: Client, key: str, new: str, expect: int) -> Any:
        if not new:
            return client.delete(CONFIG_MAP, key, SPACE, resource_version=str(expect))
        metadata: Obj = {"name": key, "namespace": SPACE}
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": new}}
        if not expect:
            return client.create(CONFIG_MAP, obj)
        metadata["resourceVersion"] = str(expect)
        return client.update(CONFIG_MAP, obj)

    async def _read(self, servers: Servers, key: str) -> None:
        begun = self.now()
        found = await self._asked(servers, servers.client.get(CONFIG_MAP, key, SPACE))
        if isinstance(found, errors.NotFound):
            self._known.pop(key, None)
            self.history.reads.append(Read(key, begun, self.now(), 0, ""))
        elif not isinstance(found, BaseException):
            self._known[key] = (revision(found), value(found))
            self.history.reads.append(Read(key, begun, self.now(), revision(found), value(found)))

    async def lister(self, number: int) -> None:
        servers = Servers(self._urls, self._context, number)
        try:
            while not self.stop.is_set():
                await self.list(servers)
                await asyncio.sleep(_PAUSE)
        finally:
            await servers.close()

    async def list(self, servers: Servers) -> bool:
        """One list; whether it was had."""
        begun = self.now()
        found = await self._asked(servers, servers.client.list(CONFIG_MAP, SPACE))
        if isinstance(found, BaseException):
            return False
        objects = {o["metadata"]["name"]: (revision(o), value(o)) for o in found["items"] if _ours(o)}
        self.history.lists.append(Listing(begun, self.now(), int(found["metadata"]["resourceVersion"]), objects))
        return True

    async def watcher(self, number: int, away: float = 0.0) -> None:
        """Until it is cancelled; resumes where it was, and lists anew only when it is told to. away: it is gone now and
        then, for so many seconds at most.
        """
        servers = Servers(self._urls, self._context, number)
        watch: Watch | None = None
        try:
            while True:
                if watch is None and (watch := await self._begun(servers)) is None:
                    continue
                try:
                    await asyncio.wait_for(self._follow(servers, watch), _STAY if away else None)
                except asyncio.TimeoutError:
                    await is_set_within(self.stop, self._rng.uniform(0, away))
                    away = 0.0 if self.stop.is_set() else away
                except errors.Expired:
                    watch.expired = self.now()
                    watch = None
                except (errors.ApiError, errors.Unreachable, OSError):
                    servers.next()
                    await asyncio.sleep(_PAUSE)
        finally:
            await servers.close()

    async def _begun(self, servers: Servers) -> Watch | None:
        found = await self._asked(servers, servers.client.list(CONFIG_MAP, SPACE))
        if isinstance(found, BaseException):
            return None
        watch = Watch(int(found["metadata"]["resourceVersion"]), heard=self.now())
        self.history.watches.append(watch)
        return watch

    async def _follow(self, servers: Servers, watch: Watch) -> None:
        async for type, obj in servers.client.watch(CONFIG_MAP, SPACE, resource_version=str(watch.last)):
            watch.heard = self.now()
            if type == "BOOKMARK":
                watch.told.append(revision(obj))
            elif _ours(obj):
                shown = "" if type == "DELETED" else value(obj)
                watch.told.append(Event(revision(obj), obj["metadata"]["name"], shown))


def _ours(obj: Obj) -> bool:
    return str(obj["metadata"]["name"]).startswith(PREFIX)
