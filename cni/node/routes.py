"""Makes the kernel's routes of our protocol the wanted ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from apimachinery.kit.netlink import Netlink, NetlinkError, Route, routes
from apimachinery.kit.netlink.routes import Network
from cni.node import plan

log = logging.getLogger(__name__)


def apply(kernel: Netlink, own: str, goal: Sequence[Route], cluster: Sequence[Network]) -> list[NetlinkError]:
    """Set what is missing, delete what is not wanted; one refused route keeps no other from being set."""
    present = plan.owned(own, kernel.routes(protocol=plan.PROTOCOL), cluster)
    change = plan.changes(present, goal)
    refused: list[NetlinkError] = []
    for request in [routes.replace_route(r) for r in change.set] + [routes.delete_route(r) for r in change.delete]:
        try:
            kernel.do(request)
            log.info("%s", request.asked)
        except NetlinkError as problem:
            refused.append(problem)
    return refused
