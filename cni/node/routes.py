"""Makes the kernel's routes of our protocol the wanted ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from apimachinery.kit.netlink import Netlink, NetlinkError, Route, routes
from cni.node import plan

log = logging.getLogger(__name__)


def apply(kernel: Netlink, goal: Iterable[Route]) -> list[NetlinkError]:
    """Set what is missing, delete what is not wanted; one refused route keeps no other from being set."""
    change = plan.changes(kernel.routes(protocol=plan.PROTOCOL), goal)
    refused: list[NetlinkError] = []
    for request in [routes.replace_route(r) for r in change.set] + [routes.delete_route(r) for r in change.delete]:
        try:
            kernel.do(request)
            log.info("%s", request.asked)
        except NetlinkError as problem:
            refused.append(problem)
    return refused


def clear(kernel: Netlink) -> None:
    """Take every route of ours away."""
    kernel.do(*[routes.delete_route(r) for r in kernel.routes(protocol=plan.PROTOCOL)])
