"""Pods' links that somebody took down or out of the bridge are put back, without touching the pod."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable

from apimachinery.kit.netlink import Link, Netlink, NetlinkError, Request, links
from cni.node.watch import in_place, port_of

log = logging.getLogger(__name__)


def repairs(link: Link, bridge: int, network: str) -> tuple[Request, ...]:
    """What brings a pod's link back in place; nothing for one that is, or is no pod's. Pure."""
    if port_of(link, network) is None or in_place(link, bridge):
        return ()
    found: list[Request] = []
    if link.master != bridge:
        found.append(links.change(link.index, master=bridge))
    if not link.up:
        found.append(links.change(link.index, up=True))
    # A port that joins anew has forgotten it.
    found.append(links.set_port(link.index, hairpin=True))
    return tuple(found)


def repair(kernel: Netlink, indexes: Iterable[int], bridge: int, network: str) -> set[str]:
    """Look at these links and put back those out of place; what went wrong, in words."""
    problems = set()
    for index in sorted(indexes):
        link = kernel.link(index)
        requests = repairs(link, bridge, network) if link else ()
        try:
            kernel.do(*requests)
        except NetlinkError as refused:
            if refused.errno != errno.ENODEV:
                problems.add(f"pod link {link.name if link else index}: {refused}")
            continue
        if requests and link:
            log.info("put %s back: it was %s", link.name, "out of the bridge" if link.master != bridge else "changed")
    return problems
