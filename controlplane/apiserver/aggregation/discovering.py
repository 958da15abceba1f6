"""What the servers behind APIServices serve, asked of them now and then and kept for the merged discovery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from apimachinery.objects import Obj
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.aggregation import documents
from controlplane.apiserver.aggregation.dialling import Answered, Asker, Unreached, Untrusting
from controlplane.apiserver.aggregation.remotes import Remote, Remotes
from controlplane.apiserver.streams.services import Unresolved

log = logging.getLogger(__name__)

_ACCEPT = ",".join(f"application/json;g=apidiscovery.k8s.io;v={v};as=APIGroupDiscoveryList" for v in ("v2", "v2beta1"))
_ANSWER_SECONDS = 5.0
_WORKERS = 2
# Again so long after it went well, and at most so long after it did not.
_AGAIN_SECONDS = 60.0
_BACKOFF_FIRST = 0.5
_LARGEST = 64 << 20


class Undiscovered(Exception):
    """A server did not say what it serves; it is asked again."""


@dataclass(frozen=True)
class _Told:
    """What a Service's server said of all it serves, with the tag by which it knows what it said."""

    tag: str
    versions: Mapping[tuple[str, str], Obj]


class Discovering:
    """The entries of all remote group versions. version is another after each change."""

    def __init__(self, known: Remotes, asker: Asker) -> None:
        self._known, self._asker = known, asker
        self.version = 0
        self.entries: dict[tuple[str, str], Obj] = {}
        """(group, version) -> an APIVersionDiscovery; Stale and empty where its server does not answer."""
        self._told: dict[tuple[str, str, int], _Told] = {}
        self._queue: WorkQueue[str] = WorkQueue("discovery of APIServices", _AGAIN_SECONDS, _BACKOFF_FIRST)
        known.follow(self._queue.add)

    async def run(self) -> None:
        """For ever."""
        for remote in self._known:
            self._queue.add(remote.name)
        await self._queue.run_workers(_WORKERS, self._look)

    async def _look(self, name: str) -> None:
        """Raises Undiscovered, which brings it back."""
        remote = self._known.named(name)
        if remote is None:
            version, _, group = name.partition(".")
            self._forget((group, version))
            return
        failure: Exception | None = None
        try:
            entry = await self._entry(remote)
        except (Unreached, Unresolved, Untrusting, Undiscovered, documents.Mismatch) as error:
            failure, entry = error, None
        if self._known.named(name) is None:
            return
        freshness = "Current" if failure is None else "Stale"
        self._keep((remote.group, remote.version), {"version": remote.version, **(entry or {}), "freshness": freshness})
        if failure is not None:
            raise Undiscovered(str(failure)) from failure
        self._queue.add_after(name, _AGAIN_SECONDS)

    async def _entry(self, remote: Remote) -> Obj | None:
        """What the server says of the group version; None when it does not know it. Raises what is named above."""
        told = self._told.get(remote.service)
        headers = {"Accept": _ACCEPT, **({"If-None-Match": told.tag} if told is not None and told.tag else {})}
        answer = await self._asker.ask(remote, "/apis", headers, _ANSWER_SECONDS)
        if answer.head.status == 304 and told is not None:
            await answer.close()
            return told.versions.get((remote.group, remote.version))
        if answer.head.status == 200 and documents.is_whole(answer.head.get("content-type")):
            found = _Told(answer.head.get("etag"), documents.versions(await _read(answer)))
            self._told[remote.service] = found
            return found.versions.get((remote.group, remote.version))
        await answer.close()
        if answer.head.status == 503:
            raise Undiscovered(f"service {remote.service} returned non-success response code: 503")
        return await self._plain(remote)

    async def _plain(self, remote: Remote) -> Obj:
        """Of a server that knows no aggregated discovery: what it says of the one group version."""
        answer = await self._asker.ask(remote, remote.root, {"Accept": "application/json"}, _ANSWER_SECONDS)
        body = await _read(answer)
        if answer.head.status != 200:
            raise Undiscovered(f"failed to download legacy discovery for {remote.root}: {answer.head.status}")
        return {"version": remote.version, "resources": documents.resources(body.get("resources") or ())}

    def _keep(self, key: tuple[str, str], entry: Obj) -> None:
        if self.entries.get(key) != entry:
            self.entries[key] = entry
            self.version += 1

    def _forget(self, key: tuple[str, str]) -> None:
        used = {remote.service for remote in self._known}
        self._told = {service: told for service, told in self._told.items() if service in used}
        if self.entries.pop(key, None) is not None:
            self.version += 1


async def _read(answer: Answered) -> Obj:
    """The object in an answer, {} where there is none. Raises Unreached."""
    body = await answer.whole(_LARGEST)
    try:
        found = await asyncio.to_thread(orjson.loads, body) if len(body) > 1 << 16 else orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
