"""Composition of a node's pod network: executables, daemon, Node informer, routes.

`run` is called by whoever owns the process (the agent's composition, or a process of its own) inside the
node's network namespace.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable

from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import NODE
from apimachinery.kit.lifecycle import Lifecycle
from cni import install
from cni.daemon import Daemon
from cni.node import sysctls
from cni.node.network import NodeNetworking
from cni.node.watch import LostInterface
from cni.settings import Settings

log = logging.getLogger(__name__)


async def run(
    settings: Settings,
    client: Client,
    lifecycle: Lifecycle,
    on_lost: Callable[[LostInterface], None] = lambda _: None,
    annotator: Client | None = None,
) -> NodeNetworking:
    """Build bottom up, register workers and clean-ups with `lifecycle`, return what keeps the network.

    `on_lost` is called, in the loop, for each pod whose interface vanished without a runtime's DEL: only a new sandbox
    gives such a pod its network back, and that is for whoever runs the pods. `annotator` may write this node's own
    Node; None: `client` may.
    """
    for problem in sorted(sysctls.keep(sysctls.names(bool(settings.node_name)))):
        log.warning("%s", problem)
    if settings.node_name:
        await serve(settings, lifecycle)
    nodes = Informer(client, NODE)
    announce = functools.partial(_announce, annotator or client, settings.node_name)
    network = NodeNetworking(settings, nodes, on_lost, announce)
    lifecycle.push("pod routes", network.close)
    lifecycle.spawn("nodes", nodes.run())
    lifecycle.spawn("pod routes", network.run())
    return network


async def _announce(client: Client, node: str, annotation: str, text: str | None) -> None:
    await client.patch(NODE, node, {"metadata": {"annotations": {annotation: text}}})


async def serve(settings: Settings, lifecycle: Lifecycle) -> None:
    """The executables and the daemon behind them."""
    await asyncio.to_thread(install.install_executables, settings.bin_dir, settings.socket)
    daemon = Daemon(settings.socket, settings.data_dir)
    await daemon.start()
    lifecycle.push("cni daemon", daemon.stop)
    lifecycle.spawn("host ports", daemon.heal())
