"""Pods' links that somebody took down or out of the bridge are put back, and follow when the network's MTU changes."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from apimachinery.kit.netlink import Link, Netlink, NetlinkError, Request, links
from cni.node.watch import in_place, port_of

log = logging.getLogger(__name__)


def repairs(link: Link, bridge: int, network: str, mtu: int = 0) -> tuple[Request, ...]:
    """What brings a pod's link back in place; nothing for one that is, or is no pod's. `mtu` 0: any. Pure."""
    if port_of(link, network) is None or in_place(link, bridge, mtu):
        return ()
    found: list[Request] = []
    if mtu not in (0, link.mtu):
        found.append(links.change(link.index, mtu=mtu))
    if link.master != bridge:
        found.append(links.change(link.index, master=bridge))
    if not link.up:
        found.append(links.change(link.index, up=True))
    # A port that joins anew has forgotten it.
    found.append(links.set_port(link.index, hairpin=True))
    return tuple(found)


def repair(
    kernel: Netlink, indexes: Iterable[int], bridge: int, network: str, mtu: int, namespace_of: Callable[[str], str]
) -> set[str]:
    """Look at these links and put back those out of place; what went wrong, in words. `namespace_of`: the path of a
    sandbox's, "" for one that is not known."""
    problems = set()
    for index in sorted(indexes):
        link = kernel.link(index)
        requests = repairs(link, bridge, network, mtu) if link else ()
        try:
            if link and requests and mtu not in (0, link.mtu):
                _inside(link, network, mtu, namespace_of)
            kernel.do(*requests)
        except NetlinkError as refused:
            if refused.errno != errno.ENODEV:
                problems.add(f"pod link {link.name if link else index}: {refused}")
            continue
        if requests and link:
            log.info("put %s back: it was %s", link.name, "out of the bridge" if link.master != bridge else "changed")
    return problems


def _inside(link: Link, network: str, mtu: int, namespace_of: Callable[[str], str]) -> None:
    """The pod's end, too: packets that one end takes and the other does not are lost without a word."""
    port = port_of(link, network)
    path = namespace_of(port.container_id) if port else ""
    # A pod that ends meanwhile needs no MTU any more.
    with contextlib.suppress(FileNotFoundError):
        if port and path:
            with Netlink(Path(path)) as pod:
                inner = pod.link(port.ifname)
                if inner and inner.index == link.peer:
                    pod.do(links.change(inner.index, mtu=mtu))
