"""Composition of the scheduler: client, informers, loop, election, health."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer, without_managed_fields
from apimachinery.kinds import (
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    SERVICE,
    STATEFUL_SET,
    STORAGE_CLASS,
)
from apimachinery.kit import metrics as kit_metrics
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.serve import TEXT, Route, ok
from controlplane import doors
from controlplane.election import Election
from controlplane.scheduler import metrics
from controlplane.scheduler.loop import Parts, Scheduler
from controlplane.scheduler.plugins import default_profile
from controlplane.scheduler.settings import Settings
from controlplane.scheduler.storage import InformedStorage
from controlplane.scheduler.trim import spec_selector_only
from controlplane.scheduler.workloads import InformedWorkloads


async def build(settings: Settings, lifecycle: Lifecycle) -> Scheduler:
    """Build the scheduler bottom up and start its workers."""
    client = Client.from_kubeconfig(settings.kubeconfig, "wherry-scheduler")
    lifecycle.push("client", client.close)
    pods = Informer(client, POD, transform=without_managed_fields)
    nodes = Informer(client, NODE, transform=without_managed_fields)
    services = Informer(client, SERVICE, transform=spec_selector_only)
    owners = {
        kind.kind: Informer(client, kind, transform=spec_selector_only)
        for kind in (REPLICA_SET, STATEFUL_SET, REPLICATION_CONTROLLER)
    }
    election = Election(client, "kube-scheduler", settings.election)
    own = client.guarded(election.left)
    recorder = EventRecorder(own, "default-scheduler")
    workloads = InformedWorkloads(services, owners)
    kinds = (PERSISTENT_VOLUME_CLAIM, PERSISTENT_VOLUME, STORAGE_CLASS)
    storage = InformedStorage(*(Informer(client, kind, transform=without_managed_fields) for kind in kinds))
    profiles = {name: default_profile(name, storage) for name in settings.profiles}
    scheduler = Scheduler(Parts(own, pods, nodes, recorder, profiles, workloads, storage))
    lifecycle.push("lease", election.release)
    await doors.serve(
        lifecycle, _door(settings), "kube-scheduler", client, _routes(scheduler, (pods, nodes, *storage.informers))
    )
    for informer in (nodes, services, *owners.values(), *storage.informers, pods):
        lifecycle.spawn(f"informer {informer.kind.plural}", informer.run())
    lifecycle.spawn("events", recorder.run())
    lifecycle.spawn("scheduler", election.lead(scheduler.run))
    return scheduler


def _routes(scheduler: Scheduler, informers: tuple[Informer, ...]) -> dict[str, Route]:
    async def ready(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
        synced = all(informer.has_synced for informer in informers)
        return (200, b"ok", TEXT) if synced else (503, b"informers not synced", TEXT)

    async def figures(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
        metrics.pending(scheduler.queue.counts())
        body, content_type = await asyncio.to_thread(kit_metrics.exposition)
        return 200, body, content_type

    return {"/healthz": ok, "/livez": ok, "/readyz": ready, "/metrics": figures}


def _door(settings: Settings) -> doors.Door:
    cert, key = settings.tls_cert_file, settings.tls_key_file
    return doors.Door(settings.health_host, settings.health_port, cert, key, settings.client_ca_file)
