"""The order of one sync, and what happens when a write fails; health answers."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Mapping
from typing import Any

import pytest

from apimachinery.kit.metrics import exposition
from netproxy import conntrack, metrics, modes
from netproxy.health import Health, NodePortHealth
from netproxy.model import Family, PortKey, Route
from netproxy.proxier import Proxier
from tests.netproxy.simulated import endpoint, endpoint_slice, service, tracker


class FakeMode:
    """Remembers calls; refuses `change` before a `rebuild`, as a real mode's kernel would."""

    name = "nftables"
    min_sync_seconds = 0.0

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.fail_next = 0
        self._built = False

    async def open(self) -> None: ...

    async def prepare(self) -> None: ...

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        self._maybe_fail()
        self._built = True
        self.calls.append(("rebuild", len(routes)))

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        assert self._built, "a change without a full write before it"
        self._maybe_fail()
        self.calls.append(("change", len(routes)))

    async def watch(self, on_lost: Any, on_mended: Any) -> None: ...

    async def cleanup(self, patience: float = 0.0) -> None: ...

    async def tidy(self) -> None: ...

    def close(self) -> None: ...

    def _maybe_fail(self) -> None:
        if self.fail_next:
            self.fail_next -= 1
            self._built = False
            raise RuntimeError("refused")


def test_a_failed_write_is_followed_by_a_full_one_with_growing_pauses() -> None:
    async def body() -> None:
        mode, track = FakeMode(), tracker()
        pauses: list[float] = []
        fits: modes.Mode = mode
        synced: list[None] = []
        proxier = Proxier(fits, track, (Family.IPV4,), pauses.append, lambda: synced.append(None))
        track.service_changed(None, service())
        await proxier.sync()
        mode.fail_next = 3
        track.slice_changed(None, endpoint_slice(endpoint("10.244.1.5")))
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await proxier.sync()
        assert pauses == [0.1, 0.2, 0.4]
        await proxier.sync()
        track.slice_changed(endpoint_slice(endpoint("10.244.1.5")), endpoint_slice(endpoint("10.244.1.6")))
        await proxier.sync()
        await proxier.sync()
        assert mode.calls == [("rebuild", 1), ("rebuild", 1), ("change", 1)]
        assert len(synced) == 4

    asyncio.run(body())


def test_a_rebuild_asked_for_during_a_write_is_not_forgotten() -> None:
    async def body() -> None:
        mode, track = FakeMode(), tracker()
        proxier = Proxier(mode, track, (Family.IPV4,), lambda _: None, lambda: None)
        original = mode.rebuild

        async def flushed_meanwhile(routes: Mapping[PortKey, Route]) -> None:
            await original(routes)
            proxier.request_rebuild()

        mode.rebuild = flushed_meanwhile  # type: ignore[method-assign]
        await proxier.sync()
        mode.rebuild = original  # type: ignore[method-assign]
        await proxier.sync()
        await proxier.sync()
        assert [name for name, _ in mode.calls] == ["rebuild", "rebuild"]

    asyncio.run(body())


def test_a_sweep_of_udp_flows_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, bool]] = []

    def sweep(changes: Mapping[PortKey, tuple[Route | None, Route | None]], _: tuple[Family, ...]) -> dict[Family, int]:
        asked.append({key.protocol: before is None for key, (before, _) in changes.items()})
        if len(asked) == 1:
            raise OSError("no answer")
        return {Family.IPV4: 2}

    monkeypatch.setattr(conntrack, "sweep", sweep)

    async def body() -> None:
        track = tracker()
        pauses: list[float] = []
        proxier = Proxier(FakeMode(), track, (Family.IPV4,), pauses.append, lambda: None)
        port = {"name": "p", "port": 53, "protocol": "UDP"}
        track.service_changed(None, service({"ports": [port]}))
        for _ in range(3):
            await proxier.sync()
        assert pauses == [1.0]

    asyncio.run(body())
    assert asked == [{"UDP": True}, {"UDP": True}]


def test_failed_writes_are_counted_and_those_of_changes_apart() -> None:
    def counts() -> tuple[float, float]:
        counters = (metrics.IPTABLES_FAILURES, metrics.IPTABLES_PARTIAL_FAILURES)
        found = [counter.labels("IPv4")._value.get() for counter in counters]
        return found[0], found[1]

    async def refused(_: Mapping[PortKey, Route]) -> None:
        raise RuntimeError("refused")

    async def body() -> None:
        mode, track = FakeMode(), tracker()
        mode.name = "iptables"
        proxier = Proxier(mode, track, (Family.IPV4,), lambda _: None, lambda: None)
        rebuild, mode.rebuild = mode.rebuild, refused  # type: ignore[method-assign, assignment]
        before = counts()
        with pytest.raises(RuntimeError):
            await proxier.sync()
        assert counts() == (before[0] + 1, before[1])
        mode.rebuild = rebuild  # type: ignore[method-assign]
        await proxier.sync()
        mode.change = refused  # type: ignore[method-assign, assignment]
        track.service_changed(None, service({}))
        with pytest.raises(RuntimeError):
            await proxier.sync()
        assert counts() == (before[0] + 2, before[1] + 1)

    asyncio.run(body())


def test_the_collector_rests_during_a_full_write_only_even_if_it_fails() -> None:
    async def body() -> None:
        mode, track = FakeMode(), tracker()
        proxier = Proxier(mode, track, (Family.IPV4,), lambda _: None, lambda: None)
        seen: list[bool] = []

        async def refused(routes: Mapping[PortKey, Route]) -> None:
            seen.append(gc.isenabled())
            raise RuntimeError("refused")

        mode.rebuild = refused  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await proxier.sync()
        assert seen == [False]
        assert gc.isenabled()

    asyncio.run(body())


def test_what_a_full_write_made_counts_as_old_and_garbage_of_it_is_still_found() -> None:
    class Garbage:
        def __init__(self) -> None:
            self.itself = self

    async def body() -> None:
        mode, track = FakeMode(), tracker()
        proxier = Proxier(mode, track, (Family.IPV4,), lambda _: None, lambda: None)
        there: list[weakref.ref[Garbage]] = []

        async def rebuild(routes: Mapping[PortKey, Route]) -> None:
            there.append(weakref.ref(Garbage()))

        mode.rebuild = rebuild  # type: ignore[method-assign]
        track.service_changed(None, service())
        await proxier.sync()
        young = gc.get_objects(0)
        assert not any(kept is one for kept in track.routes.values() for one in young)
        del young
        assert there[0]() is not None
        gc.collect()
        assert there[0]() is None

    asyncio.run(body())


def test_health_is_lost_by_a_sync_that_stays_undone_and_by_a_leaving_node() -> None:
    now = [0.0]
    health = Health(60, lambda: now[0])

    def statuses() -> tuple[int, int]:
        async def ask() -> tuple[int, int]:
            return (await health.healthz({}))[0], (await health.livez({}))[0]

        return asyncio.run(ask())

    assert statuses() == (503, 503), "nothing was ever written"
    health.queued()
    health.synced()
    assert statuses() == (200, 200)
    now[0] = 1000.0
    assert statuses() == (200, 200), "quiet is healthy"
    health.queued()
    now[0] = 1059.0
    health.queued()
    assert statuses() == (200, 200)
    now[0] = 1061.0
    assert statuses() == (503, 503)
    health.synced()
    health.node_eligible = False
    assert statuses() == (503, 200)


def test_health_is_told_in_upstreams_words() -> None:
    clock = [0.0]
    health = Health(60, lambda: clock[0], ("IPv4", "IPv6"))

    def asked(path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(asyncio.run(getattr(health, path)({}))[1])
        return found

    assert list(asked("healthz")) == ["lastUpdated", "currentTime", "nodeEligible", "healthy"]
    assert asked("livez")["lastUpdated"] == "0001-01-01T00:00:00Z"
    health.synced()
    well = asked("healthz")
    assert well["lastUpdated"] == well["currentTime"] and well["healthy"] and well["nodeEligible"]
    assert set(well["status"]) == {"IPv4", "IPv6"} and well["status"]["IPv6"]["healthy"]
    assert list(asked("livez")) == ["lastUpdated", "currentTime", "healthy", "status"]
    health.queued()
    clock[0] = 61.0
    ill = asked("livez")
    assert ill["lastUpdated"] == ill["status"]["IPv4"]["lastUpdated"] == well["status"]["IPv4"]["lastUpdated"]
    assert not ill["healthy"] and not ill["status"]["IPv4"]["healthy"]


def test_health_check_node_port_answers_as_load_balancers_expect() -> None:
    async def body() -> None:
        health = Health(60)
        health.synced()
        ports = NodePortHealth(health)
        await ports.update({0: ("default", "svc", 2)})
        status, text = ports.answer(0)
        assert status == 200
        assert text == b'{"service":{"namespace":"default","name":"svc"},"localEndpoints":2,"serviceProxyHealthy":true}'
        await ports.update({0: ("default", "svc", 0)})
        assert ports.answer(0)[0] == 503
        await ports.close()

    asyncio.run(body())


def test_numbers_have_kube_proxys_names() -> None:
    text = exposition()[0].decode()
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    sync = "kubeproxy_sync_proxy_rules_"
    wanted = {
        *(sync + name for name in ("duration_seconds", "last_timestamp_seconds", "last_queued_timestamp_seconds")),
        *(sync + f"{what}_changes_{count}" for what in ("service", "endpoint") for count in ("total", "pending")),
        *(sync + f"iptables_{name}" for name in ("total", "last", "restore_failures_total")),
        sync + "iptables_partial_restore_failures_total",
        *(sync + name for name in ("nftables_sync_failures_total", "no_local_endpoints_total")),
        *(f"kubeproxy_sync_{size}_proxy_rules_duration_seconds" for size in ("full", "partial")),
        *(f"kubeproxy_conntrack_reconciler_{n}" for n in ("sync_duration_seconds", "deleted_entries_total")),
        *("kubeproxy_network_programming_duration_seconds", "kubeproxy_proxy_healthz_total"),
        "kubeproxy_proxy_livez_total",
    }
    assert wanted <= shown, wanted - shown


def test_services_without_an_endpoint_here_are_counted_by_what_changes() -> None:
    def shown(policy: str) -> float:
        return metrics.NO_LOCAL_ENDPOINTS.labels(policy, "IPv4")._value.get()

    async def body() -> None:
        track = tracker()
        proxier = Proxier(FakeMode(), track, (Family.IPV4, Family.IPV6), lambda _: None, lambda: None)
        local = service({"internalTrafficPolicy": "Local"})
        track.service_changed(None, local)
        await proxier.sync()
        assert shown("internal") == 0, "without any endpoint nothing is kept from anybody"
        there = endpoint_slice(endpoint("10.244.2.5", "node2"))
        track.slice_changed(None, there)
        await proxier.sync()
        assert (shown("internal"), shown("external")) == (1, 0)
        here = endpoint_slice(endpoint("10.244.1.5", "node1"))
        track.slice_changed(there, here)
        await proxier.sync()
        assert shown("internal") == 0
        track.slice_changed(here, there)
        await proxier.sync()
        track.service_changed(local, None)
        await proxier.sync()
        assert shown("internal") == 0

    asyncio.run(body())
