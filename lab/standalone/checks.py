"""Preflight of a machine: its facts and its kernel, looked at before a daemon is started on it."""

from __future__ import annotations

import asyncio

from lab.preflight import Finding, of_kernel
from lab.standalone import facts, preflight, server, worker
from lab.standalone.settings import Node, Server


async def of_server(settings: Server) -> list[Finding]:
    """A control plane. SpecError when its address cannot be told."""
    seen = server.machine(settings)
    read = await asyncio.to_thread(facts.read)
    return [*preflight.of_server(settings, seen.own_address, read), *await of_kernel(seen)]


async def of_node(settings: Node) -> list[Finding]:
    """A node, or a machine that has a cluster's Services alone. SpecError when its address cannot be told."""
    seen = worker.machine(settings)
    read, answer = await asyncio.gather(asyncio.to_thread(facts.read), facts.ask(worker.api_server(settings)))
    return [*preflight.of_node(settings, seen.own_address, read, answer), *await of_kernel(seen)]
