"""Composition of the controllers: clients, shared informers, loops, election, health."""

from __future__ import annotations

import asyncio

from apimachinery import kubeconfig
from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.kit import memory, metrics
from apimachinery.kit.lifecycle import Lifecycle
from controlplane import doors
from controlplane.controllers.accounts import Accounts
from controlplane.controllers.context import Context, Informers, Loop
from controlplane.controllers.loops import chosen
from controlplane.controllers.settings import Settings
from controlplane.election import Election

AGENT = "wherry-controllers"
RUNNING = metrics.gauge("running_managed_controllers", "Loops at work", ("name", "manager"))


async def build(settings: Settings, lifecycle: Lifecycle) -> None:
    """Build the loops bottom up and start them as soon as this process leads."""
    cluster = kubeconfig.load(settings.kubeconfig)
    client = Client.of(cluster, AGENT)
    lifecycle.push("client", client.close)
    accounts = Accounts(client, cluster, AGENT)
    lifecycle.push("accounts", accounts.close)
    informers = Informers(client)
    election = Election(client, "kube-controller-manager", settings.election)
    loops: list[tuple[str, Loop]] = []
    recorders = []
    for entry in chosen(settings.controllers):
        apart = settings.use_service_account_credentials and not entry.as_process
        own = (accounts.client_of(entry.name) if apart else client).guarded(election.left)
        recorders.append(EventRecorder(own, entry.source, speaks=election.leads))
        loops.append((entry.name, entry.build(Context(own, recorders[-1], informers, settings))))
    lifecycle.push("lease", election.release)

    await doors.serve(lifecycle, settings, "kube-controller-manager", client, doors.views(informers.all))
    for informer in informers.all():
        lifecycle.spawn(f"informer {informer.kind.plural}", informer.run())
    for recorder in recorders:
        lifecycle.spawn("events", recorder.run())
    lifecycle.spawn("controllers", election.lead(lambda: _run(loops)))
    memory.settle()


async def _run(loops: list[tuple[str, Loop]]) -> None:
    """Run all loops; the first that dies takes the process with it."""
    for name, _ in loops:
        RUNNING.labels(name, "kube-controller-manager").set(1)
    await asyncio.gather(*(loop.run() for _, loop in loops))
