"""loopback: brings `lo` of a container up. Source: https://www.cni.dev/plugins/current/main/loopback/"""

from __future__ import annotations

from pathlib import Path

from apimachinery.kit.netlink import Netlink, links
from cni import capabilities, types
from cni.host import Host
from cni.skel import Plugin, Request
from cni.types import CniError, Result

MAC = "00:00:00:00:00:00"


def add(request: Request, host: Host) -> Result:
    capabilities.given(request, "loopback", ())
    with Netlink(Path(request.netns)) as pod:
        pod.do(links.change("lo", up=True))
        found = [str(a.interface) for a in pod.addresses(pod.index("lo"))]
    if request.previous is not None:
        return request.previous
    return {
        "interfaces": [{"name": "lo", "mac": MAC, "sandbox": request.netns}],
        "ips": [{"address": address, "interface": 0} for address in found],
    }


def delete(request: Request, host: Host) -> None:
    if Path(request.netns).exists() and request.netns:
        with Netlink(Path(request.netns)) as pod:
            pod.do(links.change("lo", up=False))


def check(request: Request, host: Host) -> None:
    with Netlink(Path(request.netns)) as pod:
        link = pod.link("lo")
    if link is None or not link.up:
        raise CniError(types.INTERNAL, "Interface lo is down")


def nothing(request: Request, host: Host) -> None:
    """GC and STATUS have nothing to do here."""


PLUGIN = Plugin("loopback", add, delete, check, nothing, nothing)
