"""Every plugin there is, by the name of its executable (`wherry-bridge` is `bridge`)."""

from __future__ import annotations

from cni import loopback
from cni.bandwidth import plugin as bandwidth
from cni.bridge import plugin as bridge
from cni.hostlocal import plugin as hostlocal
from cni.portmap import plugin as portmap
from cni.skel import Plugin

PREFIX = "wherry-"
PLUGINS: tuple[Plugin, ...] = (bridge.PLUGIN, hostlocal.PLUGIN, portmap.PLUGIN, bandwidth.PLUGIN, loopback.PLUGIN)


def by_name(name: str) -> Plugin | None:
    plain = name[len(PREFIX) :] if name.startswith(PREFIX) else name
    return next((p for p in PLUGINS if p.name == plain), None)
