"""Taking a node's work off its machine once its daemons are stopped: pods, rules, the bridge. Files are the
installer's.
"""

from __future__ import annotations

import contextlib

import cni.settings
import lab.hostnet
import netproxy.app
import netproxy.settings
from agent.cri.client import CriClient
from agent.cri.errors import CriError
from apimachinery.kit.netlink import Netlink, links
from apimachinery.kit.settings import SettingsError, load
from lab.paths import Paths
from lab.standalone.machine import HOME
from lab.standalone.worker import RUNTIME
from netproxy.dns.app import forget_addresses
from netproxy.modes import mode_names


async def clear(home: Paths = HOME) -> list[str]:
    """Everything that the node left in the kernel and the runtime; what could not be taken away is told."""
    left = await _pods() if RUNTIME.exists() else []
    for name in ("proxy", "hostnet"):
        with contextlib.suppress(SettingsError):
            chosen = _proxy(home, name)
            for mode in mode_names():
                await netproxy.app.remove(mode, chosen)
            forget_addresses(chosen.dns)
    with Netlink() as kernel:
        for link in kernel.links():
            if link.name == cni.settings.Settings().bridge:
                kernel.do(links.delete(link.name))
    return left


def _proxy(home: Paths, name: str) -> netproxy.settings.Settings:
    file = home.settings / f"{name}.yaml"
    if name == "proxy":
        return load(netproxy.settings.Settings, file)
    return load(lab.hostnet.Settings, file).proxy


async def _pods() -> list[str]:
    runtime = CriClient(RUNTIME)
    left = []
    try:
        for sandbox in await runtime.list_sandboxes():
            try:
                await runtime.stop_sandbox(sandbox.id)
                await runtime.remove_sandbox(sandbox.id)
            except CriError as error:
                left.append(f"sandbox {sandbox.id}: {error}")
    except CriError as error:
        left.append(f"the runtime: {error}")
    finally:
        await runtime.close()
    return left
