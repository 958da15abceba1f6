"""Composition of a cloud controller manager: client, shared informers, loops, election, health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.kit.lifecycle import Lifecycle
from controlplane import doors
from controlplane.cloud.context import Context
from controlplane.cloud.deadline import bounded
from controlplane.cloud.interface import Provider
from controlplane.cloud.nodes.initialisation import NodeController
from controlplane.cloud.nodes.lifecycle import NodeLifecycleController
from controlplane.cloud.routes.controller import RouteController
from controlplane.cloud.services.controller import ServiceController
from controlplane.cloud.settings import Settings
from controlplane.controllers.context import Informers, Loop
from controlplane.election import Election

NAME = "cloud-controller-manager"

# A loop as a cloud's can have it: the name its Events carry, and how to build it.
Part = tuple[str, Callable[[Context], Loop]]


def parts(provider: Provider, settings: Settings) -> Iterator[Part]:
    """The loops that this cloud has something for."""
    seconds = settings.cloud_call_deadline
    instances, balancers = bounded(provider.instances, seconds), bounded(provider.load_balancers, seconds)
    routes = bounded(provider.routes, seconds)
    if instances is not None:
        yield "cloud-node-controller", lambda context: NodeController(context, instances)
        yield "cloud-node-lifecycle-controller", lambda context: NodeLifecycleController(context, instances)
    if balancers is not None:
        yield "service-controller", lambda context: ServiceController(context, balancers)
    if routes is not None and settings.configure_cloud_routes:
        yield "route_controller", lambda context: RouteController(context, routes)


async def build(settings: Settings, provider: Provider, lifecycle: Lifecycle) -> None:
    """Build the loops bottom up and start them as soon as this process leads."""
    client = Client.from_kubeconfig(settings.kubeconfig, f"wherry-{NAME}")
    lifecycle.push("client", client.close)
    informers = Informers(client)
    election = Election(client, NAME, settings.election)
    recorders, loops = [], []
    own = client.guarded(election.left)
    for source, make in parts(provider, settings):
        recorders.append(EventRecorder(own, source, speaks=election.leads))
        loops.append(make(Context(own, recorders[-1], informers, settings)))
    lifecycle.push("lease", election.release)

    async def work() -> None:
        running: list[Awaitable[None]] = [provider.work(), *(loop.run() for loop in loops)]
        await asyncio.gather(*running)

    await doors.serve(lifecycle, settings, NAME, client, doors.views(informers.all))
    for informer in informers.all():
        lifecycle.spawn(f"informer {informer.kind.plural}", informer.run())
    for recorder in recorders:
        lifecycle.spawn("events", recorder.run())
    lifecycle.spawn("cloud", election.lead(work))
