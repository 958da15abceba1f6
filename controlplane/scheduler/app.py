"""Composition of the scheduler: client, informers, loop, election, health."""

from __future__ import annotations

import logging
import sys

from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer, without_managed_fields
from apimachinery.kinds import (
    NAMESPACE,
    NODE,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    SERVICE,
    STATEFUL_SET,
)
from apimachinery.kit import memory
from apimachinery.kit.lifecycle import Lifecycle
from controlplane import doors
from controlplane.election import Election
from controlplane.scheduler import metrics, profiles, storage
from controlplane.scheduler.devices import holdings
from controlplane.scheduler.devices.holdings import InformedDevices
from controlplane.scheduler.extenders import Extender
from controlplane.scheduler.loop import Parts, Scheduler
from controlplane.scheduler.queue import Pauses
from controlplane.scheduler.settings import Settings
from controlplane.scheduler.storage import InformedStorage
from controlplane.scheduler.surroundings import InformedBudgets, InformedWorkloads
from controlplane.scheduler.trim import spec_selector_only, what_is_scheduled

log = logging.getLogger(__name__)


async def build(settings: Settings, lifecycle: Lifecycle) -> Scheduler:
    """Build the scheduler bottom up and start its workers. ConfigurationError."""
    wanted = settings.read()
    sys.path += [str(path) for path in settings.plugin_path]
    if wanted.unused:
        log.warning("fields of the configuration that change nothing here: %s", ", ".join(wanted.unused))
    client = Client.from_kubeconfig(settings.kubeconfig, "wherry-scheduler")
    lifecycle.push("client", client.close)
    pods = Informer(client, POD, transform=without_managed_fields if wanted.extenders else what_is_scheduled)
    nodes, budgets, namespaces = (
        Informer(client, kind, transform=without_managed_fields) for kind in (NODE, POD_DISRUPTION_BUDGET, NAMESPACE)
    )
    services = Informer(client, SERVICE, transform=spec_selector_only)
    owners = {
        kind.kind: Informer(client, kind, transform=spec_selector_only)
        for kind in (REPLICA_SET, STATEFUL_SET, REPLICATION_CONTROLLER)
    }
    volumes = InformedStorage(*(Informer(client, kind, transform=without_managed_fields) for kind in storage.KINDS))
    devices = InformedDevices(*(Informer(client, kind, transform=without_managed_fields) for kind in holdings.KINDS))
    election = Election(client, settings.lease_name, settings.election)
    own = client.guarded(election.left)
    recorder = EventRecorder(own, "default-scheduler")
    extenders = [Extender.of(one) for one in wanted.extenders]
    for extender in extenders:
        lifecycle.push("extender", extender.close)
    parts = Parts(
        own,
        pods,
        nodes,
        namespaces,
        recorder,
        profiles.build(wanted, volumes, devices),
        InformedWorkloads(services, owners),
        volumes,
        devices,
        InformedBudgets(budgets),
        extenders,
        Pauses(wanted.first_backoff, wanted.longest_backoff),
    )
    scheduler = Scheduler(parts)
    lifecycle.push("lease", election.release)
    needed = (pods, nodes, namespaces, *volumes.informers, *devices.informers)
    views = doors.views(lambda: needed, lambda: metrics.pending(scheduler.queue.counts()))
    await doors.serve(lifecycle, settings, "kube-scheduler", client, views)
    for informer in (nodes, namespaces, services, *owners.values(), budgets, *needed[3:], pods):
        lifecycle.spawn(f"informer {informer.kind.plural}", informer.run())
    lifecycle.spawn("events", recorder.run())
    lifecycle.spawn("scheduler", election.lead(scheduler.run))
    memory.settle()
    return scheduler
