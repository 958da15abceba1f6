"""The portmap plugin's commands. It is chained: its result is the one before it, unchanged."""

from __future__ import annotations

from pathlib import Path

from cni import types
from cni.host import Host
from cni.portmap import config, rules
from cni.portmap.rules import HostPorts
from cni.settings import Settings
from cni.skel import Plugin, Request
from cni.types import CniError, Result


def add(request: Request, host: Host) -> Result:
    holder = config.parse(request)
    if request.previous is None:
        raise CniError(types.INVALID_CONFIG, "portmap must be chained after another plugin: no prevResult")
    if holder.forwards:
        _ports(request, host).add(holder, request.netns)
    return request.previous


def delete(request: Request, host: Host) -> None:
    _ports(request, host).remove((request.network, request.container_id, request.ifname))


def check(request: Request, host: Host) -> None:
    _ports(request, host).check(config.parse(request))


def gc(request: Request, host: Host) -> None:
    _ports(request, host).keep_only(request.network, request.valid_attachments())


def status(request: Request, host: Host) -> None:
    _ports(request, host).require(config.check(request))


def _ports(request: Request, host: Host) -> HostPorts:
    socket = Path(str(request.config.get("daemonSocket") or Settings().socket))
    return rules.of(host.run_dir or socket.parent)


PLUGIN = Plugin("portmap", add, delete, check, gc, status)
