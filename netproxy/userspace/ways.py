"""Routes that make Services' addresses this process's own, and what becomes of packets to them without it.

The routes of type local lead to a link that goes with the process, however it ends; those beneath them, which then
count, lead to one that swallows. So whoever comes while no process is there waits for the next, and is not refused.
Where the kernel makes no such links the first lead to loopback and stay, those beneath are blackholes, and whoever
comes after a process that could not clear up is refused.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Collection

from apimachinery.kit.netlink import Netlink, Route, links, routes
from apimachinery.kit.tun import Passing, lasting

log = logging.getLogger(__name__)
ROUTE_PROTOCOL = 87
"""by which our routes are known (rtnetlink's rtm_protocol); no routing daemon has it"""
_PASSING, _SILENT = "wherry-relay%d", "wherry-silent"
_LOOPBACK = 1


class Ways:
    """One process's. All calls block, and all but `close` raise OSError."""

    def __init__(self, versions: Collection[int]) -> None:
        """`versions`: of IP, 4 and 6."""
        self._versions = frozenset(versions)
        self._passing: Passing | None = None
        self._link, self._silent = _LOOPBACK, 0

    def prepare(self) -> None:
        """Make the links that are not there."""
        with Netlink() as kernel:
            if self._passing and kernel.link(self._passing.name) is None:
                self._end()
            try:
                self._passing = self._passing or Passing(_PASSING)
                if kernel.link(_SILENT) is None:
                    lasting(_SILENT)
            except OSError as error:
                log.warning(
                    "whoever comes after a kill of this process will be refused until the next is there: %s", error
                )
                self._end()
                return
            kernel.do(links.change(self._passing.name, up=True), links.change(_SILENT, up=True))
            self._link, self._silent = kernel.index(self._passing.name), kernel.index(_SILENT)

    def held(self) -> frozenset[str]:
        """Addresses that lead here, and to nobody else without us."""
        with Netlink() as kernel:
            found = self._found(kernel)
        here = {route.destination for route in found if route.kind == "local" and route.link == self._link}
        # IPv6's blackholes have loopback for a link.
        kind = "unicast" if self._silent else "blackhole"
        beneath = {each.destination for each in found if each.kind == kind and self._silent in (0, each.link)}
        return frozenset(str(destination[0]) for destination in here & beneath)

    def take(self, addresses: Collection[str]) -> None:
        """Make them ours."""
        with Netlink() as kernel:
            kernel.do(*(routes.replace_route(self._beneath(address)) for address in sorted(addresses)))
            kernel.do(*(routes.replace_route(self._here(address)) for address in sorted(addresses)))

    def give_up(self, addresses: Collection[str]) -> None:
        """Some of ours."""
        with Netlink() as kernel:
            kernel.do(*(routes.delete_route(self._here(address)) for address in sorted(addresses)))
            kernel.do(*(routes.delete_route(self._beneath(address)) for address in sorted(addresses)))

    def keep_only(self, addresses: Collection[str]) -> None:
        """Give up all others, which an earlier process took."""
        with Netlink() as kernel:
            stale = [route for route in self._found(kernel) if str(route.destination[0]) not in addresses]
            kernel.do(*map(routes.delete_route, stale))

    def remove(self) -> None:
        """Leave nothing."""
        self.keep_only(())
        self._end()
        with Netlink() as kernel:
            kernel.do(links.delete(_SILENT))

    def close(self) -> None:
        """Lead nobody here any more."""
        with contextlib.suppress(OSError):
            self._end()
            with Netlink() as kernel:
                local = [route for route in self._found(kernel) if (route.kind, route.link) == ("local", _LOOPBACK)]
                kernel.do(*map(routes.delete_route, local))

    def _end(self) -> None:
        if self._passing:
            self._passing.close()
        self._passing, self._link, self._silent = None, _LOOPBACK, 0

    def _found(self, kernel: Netlink) -> list[Route]:
        found = kernel.dump(routes.dump_routes(0), routes.parse_route)
        ours = (route for route in found if route and route.protocol == ROUTE_PROTOCOL)
        return [route for route in ours if route.destination.version in self._versions]

    def _here(self, address: str) -> Route:
        where = ipaddress.ip_network(address)
        return Route(where, link=self._link, kind="local", protocol=ROUTE_PROTOCOL, table=routes.LOCAL_TABLE)

    def _beneath(self, address: str) -> Route:
        kind = "unicast" if self._silent else "blackhole"
        return Route(ipaddress.ip_network(address), link=self._silent, kind=kind, protocol=ROUTE_PROTOCOL)
