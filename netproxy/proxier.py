"""The loop's body: drain what changed, hand it to the mode, clean up after it, say how it went.

Never writes before the caches have synced. A failed write is followed by a full one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from apimachinery.kit import memory
from apimachinery.timestamps import now
from netproxy import conntrack, metrics
from netproxy.model import Family, PortKey, Route
from netproxy.modes import Mode
from netproxy.tracker import Tracker

log = logging.getLogger(__name__)
_RETRY_FIRST, _RETRY_MAX = 0.1, 30.0
_SWEEP_AGAIN = 1.0
_POLICIES = ("internal", "external")
Change = tuple[Route | None, Route | None]


class Proxier:
    """Owns the order of things in one sync. `sync` is called by one runner, never twice at once."""

    def __init__(
        self,
        mode: Mode,
        tracker: Tracker,
        families: tuple[Family, ...],
        trigger_later: Callable[[float], None],
        after_sync: Callable[[], None],
    ) -> None:
        """`trigger_later(seconds)` asks for another sync; `after_sync` hears of every success."""
        self._mode = mode
        self._tracker = tracker
        self._families = families
        self._trigger_later = trigger_later
        self._after_sync = after_sync
        self._rebuild = True
        self._rules_were_lost = False
        self._retry = _RETRY_FIRST
        self._unswept: dict[PortKey, Route | None] = {}
        """ports of UDP, and the route of each before"""
        self._triggers: list[datetime] = []
        self._synced = asyncio.Event()
        self._absent = _Absent(families)
        titles = [family.title for family in families]
        self._full = [meter.labels(title) for meter in (metrics.SYNC, metrics.FULL_SYNC) for title in titles]
        self._partial = [meter.labels(title) for meter in (metrics.SYNC, metrics.PARTIAL_SYNC) for title in titles]
        self._last = [metrics.LAST_SYNC.labels(title) for title in titles]

    async def wait_synced(self) -> None:
        """Return once a sync has succeeded."""
        await self._synced.wait()

    def request_rebuild(self) -> None:
        """The kernel's rules are in doubt: the next sync writes all of them, and looks after what went past them."""
        self._rebuild = self._rules_were_lost = True

    def request_sweep(self) -> None:
        """Rules were missing for a moment: the next sync looks after what went past them."""
        self._rules_were_lost = True

    async def sync(self) -> None:
        """Bring the kernel in line with the tracker; raises what the mode raised."""
        started = time.perf_counter()
        rebuild, self._rebuild = self._rebuild, False
        try:
            if rebuild:
                # It makes a great many objects and no cycles: walking them again and again would double its time.
                with memory.filling(stays=True):
                    self._drain()
                    await self._mode.rebuild(self._tracker.routes)
            elif routes := self._drain():
                await self._mode.change(routes)
        except BaseException:
            self._failed(rebuild)
            raise
        self._retry = _RETRY_FIRST
        self._measure(time.perf_counter() - started, rebuild)
        self._synced.set()
        self._after_sync()
        await self._sweep()
        if self._rules_were_lost:
            await self._sweep_untranslated()

    def _drain(self) -> Mapping[PortKey, Route | None]:
        changes = self._tracker.drain()
        metrics.SERVICES_PENDING.set(0)
        metrics.ENDPOINTS_PENDING.set(0)
        self._absent.changed(changes.routes)
        for key, old in changes.before.items():
            if key.protocol == "UDP":
                self._unswept.setdefault(key, old)
        self._triggers.extend(changes.triggers)
        return changes.routes

    def _failed(self, rebuild: bool) -> None:
        self._rebuild = True
        counter = metrics.NFTABLES_FAILURES if self._mode.name == "nftables" else metrics.IPTABLES_FAILURES
        for family in self._families:
            counter.labels(family.title).inc()
            if self._mode.name == "iptables" and not rebuild:
                metrics.IPTABLES_PARTIAL_FAILURES.labels(family.title).inc()
        self._trigger_later(self._retry)
        self._retry = min(self._retry * 2, _RETRY_MAX)

    async def _sweep(self) -> None:
        routes = self._tracker.routes
        udp: dict[PortKey, Change] = {key: (old, routes.get(key)) for key, old in self._unswept.items()}
        self._unswept.clear()
        if not udp:
            return
        began = time.perf_counter()
        try:
            removed = await asyncio.to_thread(conntrack.sweep, udp, self._families)
        except OSError as error:
            log.warning("stale UDP flows were not removed, next try in %g s: %s", _SWEEP_AGAIN, error)
            for key, (old, _) in udp.items():
                self._unswept.setdefault(key, old)
            self._trigger_later(_SWEEP_AGAIN)
            return
        for family in self._families:
            metrics.STALE_FLOWS_SWEEP.labels(family.title).observe(time.perf_counter() - began)
            metrics.STALE_FLOWS.labels(family.title).inc(removed.get(family, 0))
        if removed:
            log.info("removed %d stale UDP flows", sum(removed.values()))

    async def _sweep_untranslated(self) -> None:
        self._rules_were_lost = False
        try:
            removed = await asyncio.to_thread(
                conntrack.sweep_untranslated, list(self._tracker.routes.values()), self._families
            )
        except OSError as error:
            log.warning(
                "connections that began without rules were not removed, next try in %g s: %s", _SWEEP_AGAIN, error
            )
            self._rules_were_lost = True
            self._trigger_later(_SWEEP_AGAIN)
            return
        if removed:
            log.info("removed %d connections that began while rules were missing", removed)

    def _measure(self, seconds: float, rebuild: bool) -> None:
        finished = now()
        for meter in self._full if rebuild else self._partial:
            meter.observe(seconds)
        for last in self._last:
            last.set(finished.timestamp())
        for trigger in self._triggers:
            metrics.PROGRAMMING.labels(self._families[0].title).observe((finished - trigger).total_seconds())
        self._triggers.clear()


class _Absent:
    """Counts Services of traffic policy Local without an endpoint here, by what changed."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        self._keys: dict[tuple[str, Family], set[PortKey]] = {
            (policy, family): set() for policy in _POLICIES for family in families
        }
        for policy, family in self._keys:
            metrics.NO_LOCAL_ENDPOINTS.labels(policy, family.title).set(0)

    def changed(self, routes: Mapping[PortKey, Route | None]) -> None:
        """Routes that differ now; None for one that is gone."""
        touched = set()
        there = any(self._keys.values())
        for key, route in routes.items():
            asked = _local_policies(route)
            if not asked and not there:
                continue
            there = True
            for policy in _POLICIES:
                keys = self._keys[policy, key.family]
                if (key in keys) is not (policy in asked):
                    (keys.discard if key in keys else keys.add)(key)
                    touched.add((policy, key.family))
        for policy, family in touched:
            services = {(key.namespace, key.service) for key in self._keys[policy, family]}
            metrics.NO_LOCAL_ENDPOINTS.labels(policy, family.title).set(len(services))


def _local_policies(route: Route | None) -> tuple[str, ...]:
    """The traffic policies that are Local and find nothing here, though there is something elsewhere."""
    if route is None or route.local or not route.has_endpoints:
        return ()
    port = route.port
    if not port.internal_local and not port.external_local:
        return ()
    asked = (port.internal_local, port.external_local and port.externally_accessible)
    return tuple(policy for policy, is_local in zip(_POLICIES, asked, strict=True) if is_local)
