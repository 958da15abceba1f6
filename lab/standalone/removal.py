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
from apimachinery.kit import command
from apimachinery.kit.netlink import Netlink, links, routes, rules
from apimachinery.kit.settings import SettingsError, load
from cni.bridge.masquerade_nft import TABLE as MASQUERADED
from cni.node import flows
from cni.node.device import ALIAS
from cni.node.masquerade import table_of
from cni.node.plan import PROTOCOL
from cni.portmap.nftables import TABLE as HOST_PORTS
from lab.paths import Paths
from lab.standalone.machine import HOME
from lab.standalone.worker import RUNTIME

NFT_DEADLINE = 10.0


async def clear(home: Paths = HOME) -> list[str]:
    """Everything that the node left in the kernel and the runtime; what could not be taken away is told."""
    left = await _pods() if RUNTIME.exists() else []
    for name in ("proxy", "hostnet"):
        with contextlib.suppress(SettingsError):
            await netproxy.app.remove_everything(_proxy(home, name))
    bridge = cni.settings.Settings().bridge
    with Netlink() as kernel:
        for link in kernel.links():
            if link.name == bridge or link.alias == ALIAS:
                kernel.do(links.delete(link.name))
        kernel.do(*map(rules.delete, kernel.rules(PROTOCOL)))
        kernel.do(*map(routes.delete_route, kernel.routes(protocol=PROTOCOL)))
    tables = (f"inet {table_of(bridge)}", f"inet {flows.table_of(bridge)}", f"inet {HOST_PORTS}", f"inet {MASQUERADED}")
    text = "".join(f"table {table} {{}}\ndelete table {table}\n" for table in tables)
    await command.run(["nft", "-f", "-"], stdin=text.encode(), timeout=NFT_DEADLINE)
    return left


def _proxy(home: Paths, name: str) -> netproxy.settings.Settings:
    file = home.settings_of(name)
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
