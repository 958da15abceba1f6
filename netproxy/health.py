"""How others ask after this proxy: /healthz and /livez, and a small server per Service with
healthCheckNodePort.

Answers have kube-proxy's shapes: load balancers and cloud controllers parse them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from apimachinery.objects import dumps
from apimachinery.timestamps import format_micro, now
from netproxy import metrics
from netproxy.model import PortKey, Route

log = logging.getLogger(__name__)
Answer = tuple[int, bytes, str]
_JSON = "application/json"
_TAINT = "ToBeDeletedByClusterAutoscaler"


class Health:
    """Healthy while every asked-for sync has succeeded within `patience` seconds of being asked for."""

    def __init__(
        self, patience: float, clock: Callable[[], float] = time.monotonic, families: Sequence[str] = ("IPv4",)
    ) -> None:
        """`families`: IPv4, IPv6: those with rules, which are written together."""
        self._patience = patience
        self._clock = clock
        self._families = families
        self._waiting_since: float | None = None
        self._last_updated: datetime | None = None
        self.node_eligible = True
        """False while the node is being deleted: load balancers should stop sending to it"""

    def queued(self) -> None:
        """A sync was asked for."""
        if self._waiting_since is None:
            self._waiting_since = self._clock()

    def synced(self) -> None:
        """A sync succeeded."""
        self._waiting_since = None
        self._last_updated = now()

    @property
    def healthy(self) -> bool:
        """True when rules are up to date or are being brought up to date in good time."""
        if self._last_updated is None:
            return False
        return self._waiting_since is None or self._clock() - self._waiting_since < self._patience

    async def healthz(self, _query: Mapping[str, str]) -> Answer:
        """For load balancers: healthy and the node stays."""
        status = 200 if self.healthy and self.node_eligible else 503
        metrics.HEALTHZ.labels(str(status)).inc()
        return status, dumps(self._said({"nodeEligible": self.node_eligible}, status)), _JSON

    async def livez(self, _query: Mapping[str, str]) -> Answer:
        """For whoever restarts this process: the node's fate does not count."""
        status = 200 if self.healthy else 503
        metrics.LIVEZ.labels(str(status)).inc()
        return status, dumps(self._said({}, status)), _JSON

    def _said(self, more: dict[str, bool], status: int) -> dict[str, object]:
        """In upstream's order. An answer of 200 says that the rules are as good as just written."""
        current, healthy = now(), self.healthy
        written = format_micro(self._last_updated) if self._last_updated else "0001-01-01T00:00:00Z"
        shown = format_micro(current) if status == 200 else written
        found = {"lastUpdated": shown, "currentTime": format_micro(current), **more, "healthy": healthy}
        if self._last_updated:
            found["status"] = {family: {"lastUpdated": written, "healthy": healthy} for family in self._families}
        return found


def node_eligible(node: Mapping[str, object] | None) -> bool:
    """False for a node that is deleted, being deleted, or about to be removed by the cluster autoscaler."""
    if node is None:
        return False
    meta, spec = node.get("metadata"), node.get("spec")
    assert isinstance(meta, Mapping)
    taints = spec.get("taints") or () if isinstance(spec, Mapping) else ()
    return not meta.get("deletionTimestamp") and all(taint.get("key") != _TAINT for taint in taints)


Counts = Mapping[int, tuple[str, str, int]]
"""health check node port → (namespace, service, endpoints on this node)"""


def local_counts(routes: Mapping[PortKey, Route]) -> Counts:
    """What each health check node port answers: endpoints that stay. One with several ports counts once. Pure."""
    seen: dict[int, tuple[str, str, set[str]]] = {}
    for key, route in routes.items():
        if route.port.health_check_node_port:
            entry = seen.setdefault(route.port.health_check_node_port, (key.namespace, key.service, set()))
            if not route.draining:
                entry[2].update(backend.ip for backend in route.local)
    return {port: (namespace, service, len(ips)) for port, (namespace, service, ips) in seen.items()}


class NodePortHealth:
    """One listening socket per health check node port: 200 while this node has an endpoint that stays, else 503."""

    def __init__(self, health: Health, tell: Callable[[str, str, str], None] = lambda *_: None) -> None:
        """`tell` (namespace, Service, what): a port cannot be had."""
        self._health = health
        self._tell = tell
        self._servers: dict[int, asyncio.Server] = {}
        self._turn = asyncio.Lock()
        self.counts: Counts = {}

    async def update(self, counts: Counts) -> None:
        """Listen on exactly the ports of `counts`; a port that is taken is tried again at the next update."""
        self.counts = counts
        # Syncs follow each other faster than sockets open: the next waits, and the newest counts are everybody's.
        async with self._turn:
            for port in self._servers.keys() - self.counts.keys():
                self._servers.pop(port).close()
            for port in self.counts.keys() - self._servers.keys():
                try:
                    self._servers[port] = await asyncio.start_server(self._serve(port), None, port)
                except OSError as error:
                    log.error("cannot listen on health check node port %d: %s", port, error.strerror)
                    # Meanwhile it may be nobody's any more.
                    if port in self.counts:
                        namespace, service, _ = self.counts[port]
                        what = f'failed to start healthcheck "{namespace}/{service}" on port {port}: {error.strerror}'
                        self._tell(namespace, service, what)

    async def close(self) -> None:
        """Stop listening."""
        await self.update({})

    def answer(self, port: int) -> tuple[int, bytes]:
        """Status and body for one port."""
        namespace, service, count = self.counts.get(port, ("", "", 0))
        body = {
            "service": {"namespace": namespace, "name": service},
            "localEndpoints": count,
            "serviceProxyHealthy": self._health.healthy,
        }
        return (200 if count and self._health.healthy else 503), dumps(body)

    def _serve(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(
                OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                status, body = self.answer(port)
                weight = self.counts.get(port, ("", "", 0))[2]
                reason = "OK" if status == 200 else "Service Unavailable"
                head = (
                    f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n"
                    "X-Content-Type-Options: nosniff\r\n"
                    f"X-Load-Balancing-Endpoint-Weight: {weight}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await asyncio.wait_for(writer.drain(), 5)
            writer.close()

        return handle
