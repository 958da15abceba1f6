"""The OpenAPI documents of the servers behind APIServices, asked of them now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from apimachinery.objects import Obj, dumps, loads
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.aggregation.dialling import Asker, Unreached, Untrusting
from controlplane.apiserver.aggregation.remotes import Remote, Remotes
from controlplane.apiserver.openapi import gnostic, merging
from controlplane.apiserver.request import Handler
from controlplane.apiserver.streams.services import Unresolved

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 60.0
# A server just said to be there is left a second to itself; after that it is asked each minute, and one that fails
# twice as late each time, up to an hour.
_FIRST_SECONDS, _AGAIN_SECONDS, _BACKOFF_MAX = 1.0, 60.0, 3600.0
_LARGEST = 64 << 20


class Unspecified(Exception):
    """A server's documents could not be had; it is asked again."""


@dataclass(frozen=True)
class Told:
    """What a server tells: its index of OpenAPI v3, and the part of its Swagger document below its group version, with
    the tags by which it knows both.
    """

    index: Mapping[str, Obj]
    swagger: Obj
    tags: tuple[str, str] = ("", "")


_NOTHING = Told({}, {})


class Specifying:
    """The documents of all remote group versions. version is another after each change."""

    def __init__(self, known: Remotes, asker: Asker, handler: Callable[[Remote], Handler]) -> None:
        """handler: who passes a request on to a server."""
        self._known, self._asker, self._handler = known, asker, handler
        self.version = 0
        self._told: dict[str, Told] = {}
        self._queue: WorkQueue[str] = WorkQueue("documents of APIServices", _BACKOFF_MAX, _AGAIN_SECONDS)
        known.follow(self._heard)

    def index(self) -> Mapping[str, Obj]:
        """Name of a document of OpenAPI v3 -> its entry in the index."""
        return {name: entry for told in self._told.values() for name, entry in told.index.items()}

    def handler(self, name: str) -> Handler | None:
        """Who serves a document of OpenAPI v3."""
        holder = next((known for known, told in self._told.items() if name in told.index), "")
        remote = self._known.named(holder)
        return self._handler(remote) if remote is not None else None

    def swaggers(self) -> Sequence[Obj]:
        """The Swagger 2.0 document of each, in the order in which groups come."""
        places, known = self._known.places, [(self._known.named(name), told) for name, told in self._told.items()]
        found = [(remote, told.swagger) for remote, told in known if remote is not None and told.swagger]

        def place(one: tuple[Remote, Obj]) -> tuple[int, int, str]:
            group, version = places[one[0].group, one[0].version]
            return -group, -version, one[0].name

        return tuple(swagger for _, swagger in sorted(found, key=place))

    async def run(self) -> None:
        """For ever."""
        for remote in self._known:
            self._queue.add(remote.name)
        await self._queue.run_workers(1, self._look)

    def _heard(self, name: str) -> None:
        remote = self._known.named(name)
        if remote is None:
            self._queue.add(name)
        elif name not in self._told and remote.available:
            self._queue.forget(name)
            self._queue.add_after(name, _FIRST_SECONDS)

    async def _look(self, name: str) -> None:
        """Raises Unspecified, which brings it back."""
        remote = self._known.named(name)
        if remote is None:
            if self._told.pop(name, None) is not None:
                self.version += 1
            return
        if not remote.available:
            # One that has told something is not heard of when it is; of the others that is soon enough.
            if name in self._told:
                self._queue.add_after(name, _AGAIN_SECONDS)
            return
        before = self._told.get(name, _NOTHING)
        try:
            told = await self._swagger(remote, await self._index(remote, before))
        except (Unreached, Unresolved, Untrusting, ValueError) as error:
            raise Unspecified(str(error)) from error
        if self._known.named(name) is None:
            return
        if (told.index, told.swagger) != (before.index, before.swagger) or name not in self._told:
            self.version += 1
        self._told[name] = told
        self._queue.add_after(name, _AGAIN_SECONDS)

    async def _index(self, remote: Remote, before: Told) -> Told:
        """Raises as said above, ValueError for what is no index."""
        found = await self._asked(remote, "/openapi/v3", before.tags[0])
        if found is None:
            return before
        body, tag = found
        paths = await asyncio.to_thread(_listed, body, remote.group) if body else {}
        return replace(before, index=paths, tags=(tag, before.tags[1]))

    async def _swagger(self, remote: Remote, before: Told) -> Told:
        """Raises as said above."""
        found = await self._asked(remote, "/openapi/v2", before.tags[1])
        if found is None:
            return before
        body, tag = found
        told: Obj = {}
        try:
            told = await asyncio.to_thread(_part, body, f"{remote.root}/") if body else {}
        except ValueError as error:
            log.warning("what APIService %s says at /openapi/v2 is left out: %s", remote.name, error)
        return replace(before, swagger=told, tags=(before.tags[0], tag))

    async def _asked(self, remote: Remote, target: str, tag: str) -> tuple[bytes, str] | None:
        """A document, b"" where there is none, and its tag; None where it is as it was when it had that tag. Raises as
        said above.
        """
        headers = {"Accept": "application/json", **({"If-None-Match": tag} if tag else {})}
        answer = await self._asker.ask(remote, target, headers, _ANSWER_SECONDS)
        if answer.head.status == 304:
            await answer.close()
            return None
        body = await answer.whole(_LARGEST)
        if answer.head.status == 404:
            return b"", ""
        if answer.head.status != 200:
            raise Unspecified(f"{target} of {remote.name}: status {answer.head.status}")
        return body, answer.head.get("etag")


def _listed(body: bytes, group: str) -> Mapping[str, Obj]:
    """The entries of an index that are about a group: it may tell of others that it is not asked for, and of pages that
    are this server's own here. Raises ValueError.
    """
    found = loads(body)
    every = (found.get("paths") or {}) if isinstance(found, dict) else None
    if not isinstance(every, dict) or not all(isinstance(entry, dict) for entry in every.values()):
        raise ValueError("no index of documents")
    own = f"apis/{group}"
    return {name: entry for name, entry in every.items() if name == own or name.startswith(f"{own}/")}


def _part(body: bytes, prefix: str) -> Obj:
    """What a document says below a path. Raises ValueError for one that can't be told with those of others in every
    encoding: it would spoil theirs.
    """
    try:
        found = merging.part(loads(body), lambda path: path.startswith(prefix))
        gnostic.document(merging.merged({}, [found]))
        dumps(found)
    except Exception as error:
        # It can be anything.
        raise ValueError(f"no Swagger document: {error!r}") from error
    return found
