"""Whether a node does its work, seen from its own machine, with its own credentials."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Awaitable, Callable

from apimachinery import errors, kubeconfig
from apimachinery.client import Client
from apimachinery.kinds import NODE
from apimachinery.objects import condition_holds
from lab import heartbeats
from lab.paths import Paths
from lab.standalone.credentials import client_file
from lab.standalone.machine import HOME
from lab.standalone.settings import Node
from lab.standalone.worker import machine

PAUSE = 0.5
# What is waited for may need the very processor that asking takes: emulated, a handshake is a second of it.
ASKING_SHARE = 0.2
CONNECT_SECONDS = 5.0


class NotThere(Exception):
    """It did not come in time; the message says what, and where to look."""


async def node_ready(settings: Node, deadline: float, home: Paths = HOME) -> None:
    """Until the machine has joined, and the agent that runs now says that its Node is Ready. NotThere after `deadline`
    (monotonic).
    """

    async def ready() -> str:
        began = heartbeats.agent_began(home.settings_of("agent"))
        if began is None:
            return "the agent does not run"
        (node,) = machine(settings).nodes
        client = Client.from_kubeconfig(client_file(settings, home), user_agent="wherry-wait")
        try:
            found = await client.get(NODE, node.name)
        finally:
            await client.close()
        if not condition_holds(found, "Ready"):
            return f"node {node.name} is not Ready"
        # What an agent before this one said says nothing of this one.
        if heartbeats.said_since(found, began):
            return ""
        return f"node {node.name} has not told anything since its agent started"

    await _until(deadline, ready, "journalctl -u wherry-agent -n 50")


async def service_answers(settings: Node, deadline: float, home: Paths = HOME) -> None:
    """Until the API server answers at its cluster IP, by its certificate. NotThere after `deadline` (monotonic)."""
    address = str(ipaddress.ip_network(settings.service_cidr)[1])

    async def answers() -> str:
        context = kubeconfig.load(client_file(settings, home)).ssl_context()
        opening = asyncio.open_connection(address, 443, ssl=context)
        _, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
        writer.close()
        return ""

    await _until(deadline, answers, "journalctl -u wherry-proxy -n 50")


async def _until(deadline: float, ask: Callable[[], Awaitable[str]], look: str) -> None:
    """Ask until nothing is missing."""
    while True:
        began = time.monotonic()
        try:
            missing = await ask()
        except (
            errors.ApiError,
            errors.Unreachable,
            kubeconfig.KubeconfigError,
            OSError,
            ssl.SSLError,
            asyncio.TimeoutError,
        ) as error:
            missing = str(error) or type(error).__name__
        if not missing:
            return
        if time.monotonic() > deadline:
            raise NotThere(f"{missing}; look at `{look}`")
        await asyncio.sleep(max(PAUSE, (time.monotonic() - began) / ASKING_SHARE))
