"""IPVS, the device, the sets and the settings of one network namespace. Reads and writes; decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from apimachinery.kit import command, ipset, ipvs
from apimachinery.kit import netns as namespaces
from apimachinery.kit.ipset import Ipset
from apimachinery.kit.ipvs import Ipvs, Virtual
from apimachinery.kit.netlink import End, Netlink, NetlinkError, links, routes
from netproxy.addresses import host_addresses
from netproxy.ipvs import rules
from netproxy.ipvs.diff import Found, State, Steps
from netproxy.ipvs.options import Options
from netproxy.model import Family

log = logging.getLogger(__name__)
DEVICE = "kube-ipvs0"
MARK = "wherry-proxy"
"""the device's alias: it and what hangs on it are ours, not another kube-proxy's"""
_MODULES = ("ip_vs", "dummy", "nf_conntrack", "xt_set")
_PROBE = Virtual("TCP", "198.51.100.0", 20000)
_LET_GO_SECONDS = (0.0, 0.1, 0.5)
"""pauses: the kernel gives up a set a moment after the last rule that asks it"""
_REUSE_MENDED = (5, 9)
"""the kernel from which on a client's port may come again without a second's wait (kubernetes#93297)"""


class IpvsError(Exception):
    """IPVS cannot be used here: what is missing and how to get it."""


class Fingerprint(NamedTuple):
    """What a look sees."""

    table: bytes
    """/proc/net/ip_vs without numbers of connections"""
    rest: object
    """as `small_parts` has it; None, which it never gives, where others have changed it"""


class Host:
    """One per mode. Calls block for a moment unless they are coroutines; call those from a thread."""

    def __init__(self, families: Collection[Family], netns: Path | None, options: Options) -> None:
        self._families = tuple(families)
        self._netns = netns
        self._options = options
        self._sets = Ipset(netns)
        self._ipvs: Ipvs | None = None
        self._heads: ipset.Fingerprint | None = None
        self._checked: set[str] = set()

    async def open(self) -> None:
        """Handles to what is there already; nothing is loaded, so that a look for leftovers leaves the host as it is.
        Raises ipset.IpsetError."""
        self._sets.require()
        with contextlib.suppress(NetlinkError):
            self._open()

    def _open(self) -> None:
        if self._ipvs is None:
            self._ipvs = Ipvs(self._netns)
        if self._heads is None:
            self._heads = ipset.Fingerprint(self._netns)

    def close(self) -> None:
        """Give up handles; everything stays."""
        for part in (self._ipvs, self._heads):
            if part:
                part.close()
        self._ipvs = self._heads = None

    async def prepare(self) -> None:
        """The device, the sets and the settings, whatever of them is there already. Raises IpvsError."""
        if self._ipvs is None:
            await load_modules(self._options.scheduler)
        try:
            self._open()
        except NetlinkError as error:
            raise IpvsError(f"this kernel has no IPVS (modprobe ip_vs): {error.strerror}") from error
        await asyncio.to_thread(self._prepare)
        for family in self._families:
            await self._sets.restore(rules.creation(family))

    def _prepare(self) -> None:
        try:
            with Netlink(self._netns) as kernel:
                if kernel.link(DEVICE) is None:
                    kernel.do(links.add_dummy(End(DEVICE, up=False)))
                kernel.do(links.change(DEVICE, alias=MARK))
        except NetlinkError as error:
            raise IpvsError(f"the device {DEVICE} cannot be made (modprobe dummy): {error}") from error
        for name, value in self.settings().items():
            namespaces.write_sysctl(self._netns, name, value)
        self._probe()
        timeouts = (self._options.tcp_timeout, self._options.tcp_fin_timeout, self._options.udp_timeout)
        if any(timeouts):
            self._kernel.do((ipvs.set_timeouts(*timeouts), "set IPVS timeouts"))

    def _probe(self) -> None:
        """Whether the scheduler can be had: by a virtual server at an address of documents (RFC 5737), for a moment."""
        name = self._options.scheduler
        if name in self._checked:
            return
        asked = f"use the scheduler {name}"
        with contextlib.suppress(NetlinkError):
            self._kernel.do((ipvs.delete_service(_PROBE), "delete the probe"))
        try:
            self._kernel.do((ipvs.add_service(_PROBE, ipvs.Schedule(name)), asked))
            self._kernel.do((ipvs.delete_service(_PROBE), "delete the probe"))
        except NetlinkError as error:
            raise IpvsError(f"the scheduler {name} cannot be had (modprobe ip_vs_{name}): {error.strerror}") from error
        self._checked.add(name)

    def settings(self) -> Mapping[str, str]:
        """The kernel settings IPVS needs, as they must be."""
        wanted = {
            # Masquerading works by the connection tracker.
            "net.ipv4.vs.conntrack": "1",
            # Whose real server is gone shall be told so, and choose anew.
            "net.ipv4.vs.expire_nodest_conn": "1",
            "net.ipv4.vs.expire_quiescent_template": "1",
            "net.ipv4.ip_forward": "1",
        }
        if _kernel_version() < _REUSE_MENDED:
            wanted["net.ipv4.vs.conn_reuse_mode"] = "0"
        if Family.IPV6 in self._families:
            wanted["net.ipv6.conf.all.forwarding"] = "1"
        if self._options.strict_arp:
            wanted |= {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
        return wanted

    async def read(self) -> State:
        """All there is."""
        names = {rules.set_name(name, family) for name in rules.SETS for family in self._families}
        members = {name: entries for name, entries in (await self._sets.members()).items() if name in names}
        servers, addresses = await asyncio.to_thread(lambda: (self._all_servers(), self.addresses()[0]))
        return State(servers, members, addresses)

    def _all_servers(self) -> dict[Virtual, Found]:
        reals = ipvs.parse_table(self._kernel.table())
        versions = {family.value for family in self._families}
        services = self._kernel.services().items()
        return {v: Found(schedule, reals.get(v, {})) for v, schedule in services if v.version in versions}

    def servers(self, wanted: Collection[Virtual]) -> dict[Virtual, Found]:
        """Those of `wanted` that are there."""
        found = {}
        for virtual in wanted:
            schedule = self._kernel.schedule(virtual)
            if schedule:
                found[virtual] = Found(schedule, self._kernel.reals(virtual) or {})
        return found

    def addresses(self) -> tuple[frozenset[str], frozenset[str]]:
        """Our device's addresses, and those of all other devices; of our families, none that is local to a link."""
        with Netlink(self._netns) as kernel:
            device, found = kernel.link(DEVICE), host_addresses(kernel, self._families)
        here = device.index if device else 0
        return (
            frozenset(ip for ip, link in found if link == here),
            frozenset(ip for ip, link in found if link != here),
        )

    async def fill(self, steps: Steps) -> None:
        """What must be there before anything else."""
        if steps.fill:
            await self._sets.restore(steps.fill)

    async def serve(self, steps: Steps) -> None:
        """The rest of the steps."""
        await asyncio.to_thread(self._serve, steps)
        if steps.drain:
            await self._sets.restore(steps.drain)

    def _serve(self, steps: Steps) -> None:
        self._kernel.do(*steps.serve)
        if steps.bind or steps.unbind:
            with Netlink(self._netns) as kernel:
                device = kernel.index(DEVICE)
                kernel.do(
                    *(routes.add_address(device, ipaddress.ip_interface(ip)) for ip in steps.bind),
                    *(routes.delete_address(device, ipaddress.ip_interface(ip)) for ip in steps.unbind),
                )

    def fingerprint(self) -> Fingerprint:
        """Equal while nobody changes a server, a set or a setting."""
        return Fingerprint(ipvs.without_counts(self._kernel.table()), self.small_parts())

    def small_parts(self) -> object:
        """Of it what costs the same however many Services there are: sets and settings."""
        names = {rules.set_name(name, family).encode() + b"\0" for name in rules.SETS for family in self._families}
        assert self._heads
        sets = {name: head for name, head in self._heads.read().items() if name in names}
        return sets, {name: namespaces.read_sysctl(self._netns, name) for name in self.settings()}

    def is_ours(self) -> bool:
        """Whether our device is there; without IPVS in the kernel nothing is."""
        if self._ipvs is None:
            return False
        with Netlink(self._netns) as kernel:
            device = kernel.link(DEVICE)
        return device is not None and device.alias == MARK

    async def remove(self) -> None:
        """The device, and the sets of every family."""
        await asyncio.to_thread(self._remove_device)
        ours, left = {rules.set_name(name, family) for name in rules.SETS for family in Family}, list[str]()
        for pause in _LET_GO_SECONDS:
            await asyncio.sleep(pause)
            left = sorted(ours & (await self._sets.members()).keys())
            if not left or await self._destroyed(*left):
                return
            # They ended at the first that somebody asks.
            left = [name for name in left if not await self._destroyed(name)]
        if left:
            log.info("sets that rules of others ask stay: %s", ", ".join(left))

    async def _destroyed(self, *names: str) -> bool:
        try:
            await self._sets.restore("".join(f"destroy {name}\n" for name in names))
        except command.CommandError as error:
            log.debug("a set stays: %s", error)
            return False
        return True

    def _remove_device(self) -> None:
        with Netlink(self._netns) as kernel:
            kernel.do(links.delete(DEVICE))

    @property
    def _kernel(self) -> Ipvs:
        assert self._ipvs, "open() comes first"
        return self._ipvs


async def load_modules(scheduler: str) -> None:
    """As far as there are modules; what the kernel has built in needs none, and a container may load none."""
    for module in (*_MODULES, f"ip_vs_{scheduler}"):
        try:
            await command.run(["modprobe", "-q", module], timeout=20, check=False)
        except command.CommandError as error:
            log.debug("no module is loaded: %s", error)
            return


async def missing(scheduler: str = "rr") -> str:
    """What this host lacks for IPVS, "" for nothing; modules that are there get loaded."""
    try:
        Ipset().require()
        await load_modules(scheduler)
        await asyncio.to_thread(lambda: Ipvs().close())
    except ipset.IpsetError as error:
        return str(error)
    except NetlinkError:
        return "this kernel has no IPVS (modprobe ip_vs)"
    return ""


@functools.lru_cache
def _kernel_version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)
