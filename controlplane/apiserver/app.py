"""The composition root of the API server: what is built from what, in order, and how it stops."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.kit import memory, webserver
from apimachinery.kit.lifecycle import Lifecycle
from controlplane.apiserver import compaction, edge, health
from controlplane.apiserver.admission.webhooks.caller import Caller
from controlplane.apiserver.advice.gaps import Gaps
from controlplane.apiserver.authz import default_policy
from controlplane.apiserver.backups import Backups, Schedule
from controlplane.apiserver.cache.cache import Cache
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.custom.definitions import Definitions
from controlplane.apiserver.custom.removal import Removal
from controlplane.apiserver.custom.statuses import Statuses
from controlplane.apiserver.custom.webhook import ByWebhook
from controlplane.apiserver.edge import Parts
from controlplane.apiserver.expiry import Expiry
from controlplane.apiserver.health import Checks
from controlplane.apiserver.http.listener import Listener
from controlplane.apiserver.layout import UpstreamLayout
from controlplane.apiserver.maintained import (
    addresses,
    aggregation,
    authentication,
    cluster,
    custom_groups,
    flowcontrol,
    keeping,
)
from controlplane.apiserver.maintained.servers import Servers
from controlplane.apiserver.ownership import track
from controlplane.apiserver.patching import Patches
from controlplane.apiserver.pipeline import Pipeline
from controlplane.apiserver.reading import Reading
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.resources import builtin, core, networking
from controlplane.apiserver.self_description import index_handler
from controlplane.apiserver.settings import Settings
from controlplane.apiserver.strategies.services import ServicePools
from controlplane.apiserver.supplied import Edge
from controlplane.apiserver.writing import Writing
from controlplane.store import Place, Store
from controlplane.store import build as build_store

log = logging.getLogger(__name__)

_LOOK_EVERY = 5
_DRAIN_SECONDS = 0.05
_DRAIN_MARGIN = 5.0
_GIVE_BACK_EVERY = 20


async def build(settings: Settings, lifecycle: Lifecycle, catalog: Catalog | None = None) -> Listener:
    """Everything, bottom up; returns once it serves. Raises StoreError, ListenError, OSError.

    catalog: the kinds to serve, which its owner may change while the server runs; all that are built in without one.
    """
    catalog = catalog if catalog is not None else builtin.catalog()
    store = build_store(settings.store, place(settings), UpstreamLayout(catalog))
    with memory.filling():
        await store.open()
        lifecycle.push("store", store.close)
        cache, servers = Cache(), Servers(store, settings.advertise_address)
        keep(catalog, cache)
        await _fill(store, cache, servers)
        expiring = lifetimes(settings) if store.shared else {}
        registry = Registry(store, cache, catalog, track, Gaps(ours=settings.warn_of_gaps), expiring)
        pools = _service_pools(settings, store, registry)
        edges = edge.assemble(Parts(settings, registry, lifecycle))
        caller = Caller(registry)
        lifecycle.push("conversion webhooks", caller.close)
        definitions = Definitions(registry, partial(ByWebhook, caller))
        await definitions.begin()
        cache.index()
    registry.admit_with(edges.admission)
    keeper = keeping.Keeper(registry, published(settings, pools.first_address, catalog.kinds(), servers))
    servers.follow(keeper.again)

    async def basics() -> None:
        await servers.begin()
        await keeper.make()
        await default_policy.make(registry, keeping.SELF, settings.policy_file)

    await _have(basics, store, lifecycle)

    backups = Backups(store, schedule(settings))
    pipeline = _pipeline(settings, registry, edges, backups, Checks(lifecycle, store))
    listener = Listener((settings.bind_host, settings.shared_host), settings.port, _tls(settings), pipeline, catalog)
    await listener.start(settings.shutdown_seconds)
    lifecycle.push("listener", lambda: _stop(listener, cache), settings.shutdown_seconds + _DRAIN_MARGIN)
    # Others hear of it before this one stops to listen.
    delay = settings.shutdown_delay_seconds
    lifecycle.push("delay", lambda: asyncio.sleep(delay), delay + _DRAIN_MARGIN)
    lifecycle.push("endpoint", servers.leave)
    lifecycle.spawn("endpoint", servers.run())
    lifecycle.spawn("maintained objects", keeper.run())
    lifecycle.spawn("backups", backups.run())
    lifecycle.spawn("names of definitions", Statuses(registry, definitions).run())
    lifecycle.spawn("ends of definitions", Removal(registry, definitions).run())
    _tend(settings, lifecycle, registry, store)
    memory.settle()
    log.info("serving on %s port %d, %d objects", settings.bind_host, listener.port, _count(cache))
    return listener


async def _fill(store: Store, cache: Cache, servers: Servers) -> None:
    """Have the store's followers know what it holds, and hear of what comes."""
    history = await store.history()
    cache.load(history, store.revision, store.compacted)
    servers.deliver(history)
    for follower in (cache, servers):
        store.follow(follower)


def _service_pools(settings: Settings, store: Store, registry: Registry) -> ServicePools:
    """The addresses and ports of Services, handed out as Services are written."""
    others = partial(registry.items, core.SERVICE.kind) if store.shared else None
    pools = ServicePools(settings.service_cidr, settings.node_port_range, others)
    registry.catalog.add(replace(core.SERVICE, strategy=pools.strategy(core.SERVICE.strategy)))
    registry.subscribe(core.SERVICE.kind, pools.service_changed)
    registry.subscribe(networking.SERVICE_CIDR.kind, pools.range_changed)
    registry.subscribe(networking.IP_ADDRESS.kind, pools.address_changed)
    return pools


async def _have(basics: Callable[[], Awaitable[None]], store: Store, lifecycle: Lifecycle) -> None:
    """Make the objects that every cluster has before anybody is served."""
    try:
        await basics()
    except errors.ApiError:
        # A full disk: what is there can be read and removed all the same.
        if not store.trouble:
            raise
        lifecycle.spawn("basic objects", _until_room(basics))


def _pipeline(settings: Settings, registry: Registry, edges: Edge, backups: Backups, checks: Checks) -> Pipeline:
    """What is served: what resources and edges have, and the server's own pages."""
    paths = health.paths(checks.live(), checks.ready())
    named = (f"/{path}/{check}" for path, held in checks.all().items() for check in held)
    paths["/snapshot$"] = backups.handler
    paths |= health.zpages(settings, (path.rstrip("$") for path in (*edges.routes.paths, *paths)))
    index = index_handler(edges.sources, (*edges.routes.paths, *paths, *named))
    return Pipeline(
        edges,
        Reading(registry, edges.negotiate),
        Writing(registry, edges.negotiate, Patches()),
        {**paths, "/$": index, "/index.html$": index},
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not (settings.tls_cert_file and settings.tls_key_file):
        return None
    authorities = (settings.client_ca_file, settings.requestheader_client_ca_file)
    return webserver.tls_context(settings.tls_cert_file, settings.tls_key_file, *filter(None, authorities))


def _tend(settings: Settings, lifecycle: Lifecycle, registry: Registry, store: Store) -> None:
    """The loops that keep what is there in order."""
    lifecycle.spawn("flow schemas", flowcontrol.Dangling(registry).run())
    lifecycle.spawn("groups of custom resources", custom_groups.CustomGroups(registry).run())
    lifecycle.spawn("ip addresses", addresses.Addresses(registry).run())
    if settings.event_ttl > 0 and not store.shared:
        lifecycle.spawn("events", Expiry(registry, core.EVENT.kind, settings.event_ttl).run())
    lifecycle.spawn("compaction", compaction.run(store, registry.cache, settings.history_seconds))
    lifecycle.spawn("memory", _give_memory_back())


def keep(catalog: Catalog, cache: Cache) -> None:
    """Have the cache keep what the catalog serves, now and when its rows change."""

    def follow(row: Resource, there: bool) -> None:
        if there and row.kept:
            cache.add(row.kind, row.fields.getters.get(row.fields.node), row.custom is not None)
        elif not any(other.kept and other.kind.storage == row.kind.storage for other in catalog):
            cache.drop(row.kind)

    for row in catalog:
        follow(row, True)
    catalog.follow(follow)


def place(settings: Settings) -> Place:
    """Where the store is."""
    return Place(
        settings.data_dir,
        settings.etcd_servers,
        settings.etcd_ca_file,
        settings.etcd_cert_file,
        settings.etcd_key_file,
        settings.etcd_prefix,
    )


def lifetimes(settings: Settings) -> dict[str, int]:
    """What a store that can do so removes by itself: seconds by collection."""
    return {core.EVENT.kind.storage: settings.event_ttl} if settings.event_ttl > 0 else {}


def schedule(settings: Settings) -> Schedule:
    """When backups are made, and which are kept."""
    folder = settings.backup_dir or settings.data_dir / "backups"
    return Schedule(folder, settings.backup_seconds, settings.backup_count, settings.backup_days * 86400)


def published(
    settings: Settings, service_ip: str, kinds: tuple[Kind, ...], servers: Servers
) -> tuple[keeping.Wanted, ...]:
    """What the server keeps without being asked. Raises OSError for an authority that cannot be read."""
    client_ca, front_ca = map(edge.pem, (settings.client_ca_file, settings.requestheader_client_ca_file))
    return (
        *cluster.wanted(service_ip, settings.service_cidrs, servers.addresses, settings.port),
        *authentication.wanted(client_ca, front_ca, settings.requestheader_allowed_names),
        *aggregation.wanted(kinds),
        *flowcontrol.wanted(),
    )


async def _give_memory_back() -> None:
    """What the start took, and clients that are gone: blocks that are free between others that are not go back only
    when asked for.
    """
    while True:
        await asyncio.to_thread(memory.give_back)
        await asyncio.sleep(_GIVE_BACK_EVERY)


def _count(cache: Cache) -> int:
    return sum(len(collection) for collection in cache.collections())


async def _stop(listener: Listener, cache: Cache) -> None:
    """End every watch, also those that clients begin anew while the listener closes: a watch that went on would
    hold it for all its patience. Clients come back to the next server with the revision they have.
    """
    stopping = asyncio.ensure_future(listener.stop())
    while not stopping.done():
        for collection in cache.collections():
            for watcher in collection.watchers():
                watcher.close()
        await asyncio.wait((stopping,), timeout=_DRAIN_SECONDS)
    stopping.result()


async def _until_room(make: Callable[[], Awaitable[None]]) -> None:
    """Make the objects that every cluster has as soon as the store takes them."""
    while True:
        try:
            return await make()
        except errors.ApiError as error:
            log.warning("not every object that a cluster has could be made: %s", error.message)
        await asyncio.sleep(_LOOK_EVERY)
