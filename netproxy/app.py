"""The composition root: builds the parts bottom up and starts them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery import component, errors
from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer
from apimachinery.kinds import ENDPOINT_SLICE, NODE, SERVICE
from apimachinery.kit import memory
from apimachinery.kit import metrics as kit_metrics
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.runner import BoundedFrequencyRunner
from apimachinery.kit.serve import TEXT, serve_http
from apimachinery.objects import labels
from netproxy import limits, metrics, modes, views
from netproxy.ground import Ground, grounds
from netproxy.guard import Guard
from netproxy.health import Health, NodePortHealth, local_counts, node_eligible
from netproxy.model import Family
from netproxy.policy.app import NetworkPolicies, remove_until_gone
from netproxy.policy.app import remove as remove_policies
from netproxy.policy.shortfall import Event
from netproxy.proxier import Proxier
from netproxy.settings import Settings, split
from netproxy.topology import Place
from netproxy.tracker import Tracker

if TYPE_CHECKING:
    from netproxy.dns.app import ClusterDns

log = logging.getLogger(__name__)
_NOT_OTHERS, _NOT_HEADLESS = f"!{views.PROXY_NAME_LABEL}", f"!{views.HEADLESS_LABEL}"
_AGAIN_SECONDS = 2.0
_PAGE = 200
"""objects of a list at a time: 2 MB less at 5,000 Services than 500 leave behind"""
_CHANGE_SECONDS = 30.0
"""for connections that end with the mode that held them, when another takes over"""
_HEALTH_PATIENCE = 2.0
"""times the sync period, before an unfinished sync counts as unhealthy"""


def families(settings: Settings) -> tuple[Family, ...]:
    """The families to write rules for."""
    wanted = settings.ipv6 if settings.ipv6 is not None else Path("/proc/net/if_inet6").exists()
    return (Family.IPV4, Family.IPV6) if wanted else (Family.IPV4,)


def ground_of(settings: Settings) -> tuple[Ground, ...]:
    """Settings to the planners' view of this host."""
    primary = tuple(a for a in settings.node_port_addresses if a == "primary")
    cidrs = tuple(a for a in settings.node_port_addresses if a != "primary")
    base = Ground(
        Family.IPV4,
        cluster_cidrs=split(settings.cluster_cidr) if not settings.pod_interface else (),
        pod_interface=settings.pod_interface,
        service_cidrs=split(settings.service_cidr),
        node_ips=settings.node_ips,
        local_vips=settings.dns.addresses,
        node_port_cidrs=(*cidrs, *settings.node_ips) if primary else cidrs,
        masquerade_all=settings.masquerade_all,
        localhost_node_ports=settings.localhost_node_ports,
        tcp_be_liberal=settings.conntrack.tcp_be_liberal or limits.is_liberal(),
        nft_table=settings.nft_table,
    )
    return grounds(base, families(settings))


def options_of(settings: Settings) -> modes.Options:
    """What a mode alone asks for."""
    return modes.Options(settings.iptables_backend, settings.ipvs)


async def start(settings: Settings, lifecycle: Lifecycle) -> None:
    """Build everything and spawn the workers; returns once they run."""
    if settings.unused:
        log.warning("of kube-proxy's settings these change nothing here: %s", ", ".join(settings.unused))
    if settings.oom_score_adj is not None:
        limits.set_oom_score(settings.oom_score_adj)
    memory.tune()
    # Before a cluster's objects come, too: to walk them again and again as they do would double their time.
    memory.settle()
    client = Client.from_kubeconfig(settings.kubeconfig, "netproxy")
    lifecycle.push("client", client.close)
    if settings.node_cidr:
        settings = replace(settings, cluster_cidr=",".join(await _pod_ranges(client, settings.node_name)))
    mode = await modes.begin(settings.mode, ground_of(settings), options=options_of(settings))
    lifecycle.push("mode", _closing(mode))
    guard = Guard(ground_of(settings))
    await guard.open()
    lifecycle.push("guard", _closing(guard))
    # Only now the kernel has loaded its connection tracker for sure.
    limits.apply(settings.conntrack, os.cpu_count() or 1)
    log.info("mode %s for %s", mode.name, " and ".join(f.title for f in families(settings)))
    health = Health(_HEALTH_PATIENCE * settings.sync_period, families=[f.title for f in families(settings)])
    told = EventRecorder(client, "kube-proxy", settings.node_name)
    lifecycle.spawn("events", told.run())
    parts = _Parts(settings, mode, health, lifecycle, told.event)
    await _serve(settings, mode.name, health, lifecycle)
    # A name has every Service, a rule not.
    proxied, with_vip = ("", "") if parts.dns else (_NOT_OTHERS, f"{_NOT_OTHERS},{_NOT_HEADLESS}")
    kept: dict[str, Any] = {"transform": views.trim, "keep": views.reference, "page": _PAGE}
    services = Informer(client, SERVICE, label_selector=proxied, **kept)
    slices = Informer(client, ENDPOINT_SLICE, label_selector=with_vip, **kept)
    services.add_handler(parts.service_changed)
    slices.add_handler(parts.slice_changed)
    if parts.dns:
        parts.dns.start(lifecycle)
    informers = [services, slices]
    if settings.node_name:
        nodes = Informer(client, NODE, field_selector=f"metadata.name={settings.node_name}")
        nodes.add_handler(parts.node_changed)
        informers.append(nodes)
        told.event(_node_reference(settings.node_name), "Normal", "Starting", "")
        if settings.network_policy:
            grounds_here, node = ground_of(settings), settings.node_name
            judge = NetworkPolicies(client, grounds_here, node, nodes, settings.cni_results, told.event, mode.name)
            await judge.start(lifecycle)
    else:
        log.info("no node_name: this host's pods, if it has any, get no NetworkPolicies and no traffic of policy Local")
    if not settings.network_policy:
        lifecycle.spawn("rules of network policies", remove_until_gone(ground_of(settings)))
    for informer in informers:
        lifecycle.spawn(f"informer {informer.kind.plural}", informer.run())
    lifecycle.spawn("sync", parts.run(informers))


def _node_reference(name: str) -> dict[str, str]:
    # Events of nodes carry the name for the uid, as kubelets' do: `kubectl describe node` looks for both.
    return {"kind": "Node", "apiVersion": "v1", "name": name, "uid": name}


async def _pod_ranges(client: Client, node: str) -> tuple[str, ...]:
    """The node's own; waits for them to be given out. They never change."""
    while True:
        try:
            spec = (await client.get(NODE, node))["spec"]
        except errors.NotFound:
            spec = {}
        ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
        if ranges:
            return tuple(ranges)
        log.info("node %s has no pod range yet; asked again in %g s", node, _AGAIN_SECONDS)
        await asyncio.sleep(_AGAIN_SECONDS)


def _cluster_dns(settings: Settings, ranges: Iterable[str]) -> ClusterDns | None:
    if not settings.dns.enabled:
        return None
    # The library it needs is loaded where it answers alone.
    from netproxy.dns.app import ClusterDns

    return ClusterDns(settings.dns, ranges)


class _Parts:
    """Holds the loop's pieces together: callbacks in, paced syncs out."""

    def __init__(self, settings: Settings, mode: modes.Mode, health: Health, lifecycle: Lifecycle, tell: Event) -> None:
        self._settings = settings
        self._tell = tell
        self._mode = mode
        self._health = health
        self._lifecycle = lifecycle
        wanted = families(settings)
        self._queued = [metrics.LAST_QUEUED.labels(family.title) for family in wanted]
        ranges = (*split(settings.service_cidr), *split(settings.cluster_cidr))
        self.dns = _cluster_dns(settings, ranges)
        here = {(address, settings.dns.port) for address in settings.dns.addresses}
        self._tracker = Tracker(wanted, Place(settings.node_name), self._trigger, here)
        self._proxier = Proxier(mode, self._tracker, wanted, self._trigger_later, self._synced)
        self._node_ports = NodePortHealth(health, self._port_is_taken)
        pause = mode.min_sync_seconds if settings.min_sync_period is None else settings.min_sync_period
        self._runner = BoundedFrequencyRunner(
            self._proxier.sync,
            min_interval=pause,
            max_interval=settings.sync_period,
            retry_interval=settings.sync_period,
        )
        lifecycle.push("health check node ports", self._node_ports.close)

    async def run(self, informers: list[Informer]) -> None:
        """Wait for the caches, then write for ever. Other modes' rules go only after ours stand."""
        await asyncio.gather(*(informer.wait_synced() for informer in informers))
        self._trigger()
        if self.dns:
            self.dns.known()
        pacing = asyncio.ensure_future(self._runner.run())
        watching = asyncio.ensure_future(self._mode.watch(self._lost, self._mended))
        cleaning = asyncio.ensure_future(self._settle())
        try:
            await asyncio.gather(pacing, watching, cleaning)
        finally:
            for task in (pacing, watching, cleaning):
                task.cancel()

    def service_changed(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if self.dns:
            self.dns.directory.service_changed(old, new)
        before, after = views.proxied(old), views.proxied(new)
        if before or after:
            metrics.SERVICE_CHANGES.inc()
            metrics.SERVICES_PENDING.inc()
            self._tracker.service_changed(before, after)

    def slice_changed(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if self.dns:
            self.dns.directory.slice_changed(old, new)
        before, after = views.proxied(old), views.proxied(new)
        if before or after:
            metrics.ENDPOINT_CHANGES.inc()
            metrics.ENDPOINTS_PENDING.inc()
            self._tracker.slice_changed(before, after)

    def node_changed(self, _old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self._health.node_eligible = node_eligible(new)
        zone = labels(new).get(views.ZONE_LABEL, "") if new else self._tracker.place.zone
        self._tracker.place_changed(Place(self._settings.node_name, zone))

    def _trigger(self) -> None:
        self._health.queued()
        for queued in self._queued:
            queued.set_to_current_time()
        self._runner.trigger()

    def _trigger_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._runner.trigger)

    def _lost(self) -> None:
        self._proxier.request_rebuild()
        self._trigger()

    def _mended(self) -> None:
        self._proxier.request_sweep()
        self._trigger()

    def _synced(self) -> None:
        self._health.synced()
        counts = local_counts(self._tracker.health_checked)
        if counts or self._node_ports.counts:
            self._lifecycle.spawn("health check node ports", self._node_ports.update(counts))

    def _port_is_taken(self, namespace: str, service: str, what: str) -> None:
        about = {"kind": "Service", "apiVersion": "v1", "namespace": namespace, "name": service}
        where = f"node {self._settings.node_name} {what}"
        self._tell(about, "Warning", "FailedToStartServiceHealthcheck", where)

    async def _settle(self) -> None:
        """What follows the first sync: other modes' rules go, and no collection walks the whole cluster any more."""
        await self._proxier.wait_synced()
        # Not after a last one: it would find next to nothing, in a tenth of a second that the next change waits for.
        gc.freeze()
        memory.give_back()
        # What an earlier process of this mode left comes first: it still translates, and other modes may be waited for.
        await self._mode.tidy()
        for name in modes.mode_names():
            if name != self._mode.name:
                await remove(name, self._settings, _CHANGE_SECONDS)
        memory.give_back()


async def remove(name: str, settings: Settings, patience: float = 0.0) -> None:
    """Remove what mode `name` left in the kernel; a mode that cannot work here left nothing. `patience`: as
    Mode.cleanup has it."""
    mode = modes.make(name, ground_of(settings), options=options_of(settings))
    try:
        await mode.cleanup(patience)
    except Exception as error:
        log.info("nothing removed for mode %s: %s", name, error)
    finally:
        mode.close()


async def remove_everything(settings: Settings) -> None:
    """All that a proxy with these settings, in whatever mode, leaves in the kernel."""
    for name in modes.mode_names():
        await remove(name, settings)
    await remove_policies(ground_of(settings))
    if settings.dns.addresses:
        from netproxy.dns.app import forget_addresses

        forget_addresses(settings.dns)


def _closing(part: modes.Mode | Guard) -> Any:
    async def close() -> None:
        part.close()

    return close


async def _serve(settings: Settings, mode: str, health: Health, lifecycle: Lifecycle) -> None:
    async def metrics_page(_query: Any) -> tuple[int, bytes, str]:
        body, content_type = kit_metrics.exposition()
        return 200, body, content_type

    async def well(_query: Any) -> tuple[int, bytes, str]:
        return 200, b"ok", TEXT

    async def proxy_mode(_query: Any) -> tuple[int, bytes, str]:
        return 200, mode.encode(), TEXT

    if settings.health_port:
        routes = {"/healthz": health.healthz, "/livez": health.livez}
        await serve_http(lifecycle, settings.bind_address, settings.health_port, routes)
    if settings.metrics_port:
        routes = {"/metrics": metrics_page, "/proxyMode": proxy_mode, "/healthz": well}
        pages = component.pages("kube-proxy", settings, routes)
        await serve_http(lifecycle, settings.metrics_bind_address, settings.metrics_port, routes, pages=pages)
