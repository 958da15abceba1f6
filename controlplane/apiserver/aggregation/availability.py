"""The loop that looks whether the servers behind APIServices answer, and says so in their conditions."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from apimachinery import errors
from apimachinery.kinds import API_SERVICE, ENDPOINT_SLICE, SERVICE
from apimachinery.kit import metrics
from apimachinery.objects import Obj
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.aggregation import conditions, dialling, remotes
from controlplane.apiserver.aggregation.conditions import Condition
from controlplane.apiserver.aggregation.dialling import Dialler, Unreached, Untrusting
from controlplane.apiserver.aggregation.remotes import Remote, Remotes
from controlplane.apiserver.authn.front_proxy import headers_of
from controlplane.apiserver.cache.events import Event
from controlplane.apiserver.maintained.keeping import SELF
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.streams import backend, targets
from controlplane.apiserver.streams.services import Services, Unresolved

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_ANSWER_SECONDS = 5.0
_WORKERS = 5
_AGAIN_SECONDS, _BACKOFF_MAX = 30.0, 30.0
_UNAVAILABLE = metrics.gauge("aggregator_unavailable_apiservice", "APIServices that are not available.", ("name",))
# A gauge for the name's sake: the library's counters take up the other's name, too.
_TURNED = metrics.gauge(
    "aggregator_unavailable_apiservice_total",
    "How often APIServices have become unavailable, and why.",
    ("name", "reason"),
)


class Unanswered(Exception):
    """The server's discovery could not be had; it is asked again."""


class Availability:
    """Looks after each change of an APIService, of its Service and of that one's endpoints, and twice a minute."""

    def __init__(self, registry: Registry, known: Remotes, services: Services, dialler: Dialler) -> None:
        self._registry, self._known, self._services, self._dialler = registry, known, services, dialler
        self._queue: WorkQueue[str] = WorkQueue("availability of APIServices", backoff_max=_BACKOFF_MAX)

    async def run(self) -> None:
        """For ever."""
        registry = self._registry
        self._known.follow(self._queue.add)
        for entry in registry.collection(API_SERVICE).scan():
            self._queue.add(entry.name)
        registry.collection(SERVICE).follow(partial(self._heard, None))
        registry.collection(ENDPOINT_SLICE).follow(partial(self._heard, targets.SERVICE_LABEL))
        await asyncio.gather(self._queue.run_workers(_WORKERS, self._look), self._again())

    async def _again(self) -> None:
        """A node may vanish, and nothing but silence tells of it."""
        while True:
            await asyncio.sleep(_AGAIN_SECONDS)
            for remote in self._known:
                self._queue.add(remote.name)

    def _heard(self, label: str | None, event: Event) -> None:
        """A Service has changed, or (label: where it says whose it is) a slice of one."""
        subject = event.new or event.old
        assert subject is not None
        for remote in self._known:
            namespace, name, _ = remote.service
            # Of all others nothing is decoded.
            if namespace == subject.namespace and name == (subject.labels.get(label) if label else subject.name):
                self._queue.add(remote.name)

    async def _look(self, name: str) -> None:
        """Raises Unanswered, which brings it back."""
        found = self._registry.find(API_SERVICE, "", name)
        if found is None:
            _forget(name)
            return
        remote = remotes.of(found)
        if remote is None:
            await self._write(found, conditions.LOCAL)
            return
        namespace, service = remote.service[:2]
        wrong = conditions.of_objects(
            remote, self._services.find(namespace, service), self._services.slices(namespace, service)
        )
        if wrong is not None:
            await self._write(found, wrong)
            return
        failure = await self._discovered(remote)
        await self._write(found, conditions.undiscovered(failure) if failure else conditions.PASSED)
        if failure:
            raise Unanswered(failure)

    async def _discovered(self, remote: Remote) -> str:
        """Ask some endpoints at once; "" when one of them answers well, else why the last one did not."""
        try:
            self._dialler.trusts(remote)
        except Untrusting as error:
            # As upstream: nothing is said of it, and it is tried again.
            raise Unanswered(str(error)) from error
        attempts = [asyncio.ensure_future(self._attempt(remote)) for _ in range(_ATTEMPTS)]
        failure = ""
        try:
            for attempt in asyncio.as_completed(attempts):
                failure = await attempt
                if not failure:
                    return ""
        finally:
            for task in attempts:
                task.cancel()
        return failure

    async def _attempt(self, remote: Remote) -> str:
        try:
            address = self._dialler.address(remote)
        except Unresolved as error:
            return str(error)
        url = f"https://{address.authority}{remote.root}"
        try:
            status = await self._status(address, remote)
        except Unreached as error:
            return f'failing or missing response from {url}: Get "{url}": {error}'
        return "" if 200 <= status < 300 else f"failing or missing response from {url}: bad status from {url}: {status}"

    async def _status(self, address: backend.Address, remote: Remote) -> int:
        headers = [*headers_of(dialling.SELF), ("User-Agent", "Go-http-client/1.1")]
        answer = await self._dialler.ask(address, "GET", remote.root, headers, seconds=_ANSWER_SECONDS)
        await answer.close()
        return answer.head.status

    async def _write(self, found: Obj, condition: Condition) -> None:
        name = found["metadata"]["name"]
        _UNAVAILABLE.labels(name).set(0 if condition.available else 1)
        at = now()
        if conditions.told(found, condition, at) == found:
            return
        try:
            await self._registry.mutate(
                API_SERVICE,
                "",
                name,
                lambda stored: conditions.told(stored, condition, at),
                subresource="status",
                user=SELF,
            )
        except errors.NotFound:
            return
        if remotes.is_available(found) and not condition.available:
            _TURNED.labels(name, condition.reason).inc()
            log.info("APIService %s is not available: %s: %s", name, condition.reason, condition.message)


def _forget(name: str) -> None:
    try:
        _UNAVAILABLE.remove(name)
    except KeyError:
        log.debug("nothing was told of APIService %s", name)
