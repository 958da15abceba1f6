"""Records and the kernel's rules change together, and rules are written anew when others touched them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.conntrack import Flow, Tracking
from cni import backend as backends
from cni import types
from cni.backend import IPTABLES, NFTABLES
from cni.portmap import plan
from cni.portmap.chains import Chains
from cni.portmap.plan import Forward, Holder
from cni.portmap.records import Key, Records
from cni.portmap.table import Table
from cni.types import CniError

log = logging.getLogger(__name__)

_UDP = 17
# Seconds until what the kernel refused is tried again.
RETRY_PERIOD = 10.0


class HostPorts:
    """One node's host ports; records in `directory`. Its methods block and may be called from any thread of the node's
    namespace. Failures are CniError.
    """

    def __init__(self, directory: Path) -> None:
        self._records = Records(directory)
        self._table = Table()
        self._chains = Chains()

    def add(self, holder: Holder, namespace: str) -> None:
        """On disk first, so that whatever rule there is can be found again."""
        if not holder.backend:
            holder = replace(holder, backend=self._backend())
        with self._records.lock():
            beside = [h for h in self._records.users(f.port for f in holder.forwards) if h.key != holder.key]
            if problem := plan.clash(holder, beside):
                raise CniError(types.INVALID_CONFIG, problem)
            known = self._records.know_networks(holder)
            self._records.write(holder, namespace)
            try:
                if holder.backend == IPTABLES:
                    self._chains.add(self._records.same_container(holder.network, holder.container_id))
                else:
                    self._table.add(holder, self._in_table, known=known)
                allow_loopback(holder)
            except BaseException:
                self._records.remove(holder.key)
                raise
        forget(holder.forwards)

    def remove(self, key: Key) -> None:
        """Nothing that is missing is an error."""
        if not self._records.has(key):
            return
        with self._records.lock():
            holder = self._records.get(key)
            if holder is None:
                return
            others = [h for h in self._records.same_container(*key[:2]) if h.key != key and h.backend == IPTABLES]
            if holder.backend == IPTABLES:
                self._chains.remove(holder, others)
            else:
                last = self._records.count(NFTABLES) == 1
                self._table.remove(holder, lambda: [h for h in self._in_table() if h.key != key], last=last)
            self._records.remove(key)
        forget(holder.forwards, ended=True)

    def check(self, holder: Holder) -> None:
        """CniError when a port is missing in the kernel."""
        if not holder.forwards:
            return
        with self._records.lock():
            noted = self._records.get(holder.key)
            container = self._records.same_container(holder.network, holder.container_id)
        backend = noted.backend if noted else holder.backend
        if backend == IPTABLES:
            mine = [replace(holder, backend=backend)]
            self._chains.check([*(h for h in container if h.key != holder.key and h.backend == backend), *mine])
        else:
            self._table.check(holder)

    def keep_only(self, network: str, valid: set[tuple[str, str]]) -> None:
        """Free what attachments of this network hold that the runtime does not know."""
        if not self._records.exist():
            return
        with self._records.lock():
            keys = [h.key for h in self._records.all()]
        for key in keys:
            if key[0] == network and key[1:] not in valid:
                self.remove(key)

    def require(self, backend: str = "") -> None:
        """CniError(50) when rules of this kind, or "" of any, cannot be written here."""
        if (backend or self._backend()) == IPTABLES:
            self._chains.require()
        else:
            self._table.require()

    def restore(self) -> None:
        """Write all rules anew, without those of pods that are gone; nothing is touched where no pod had any."""
        if not self._records.exist():
            return
        with self._records.lock():
            gone = self._records.sweep()
            holders = self._records.all()
            for backend, applier in ((NFTABLES, self._table), (IPTABLES, self._chains)):
                of = [[h for h in some if h.backend == backend] for some in (holders, gone)]
                applier.restore(of[0], of[1])
            for holder in holders:
                allow_loopback(holder)
        forget([f for h in gone for f in h.forwards], ended=True)
        forget([f for h in holders for f in h.forwards])

    async def heal(self) -> None:
        """Restore whenever another program changed the rules; runs for ever."""
        await asyncio.gather(self._heal(self._table.changes()), self._heal(self._chains.changes()))

    async def _heal(self, changes: AsyncIterator[None]) -> None:
        async for _ in changes:
            while not await self._healed():
                await asyncio.sleep(RETRY_PERIOD)

    async def _healed(self) -> bool:
        try:
            await asyncio.to_thread(self.restore)
        except (OSError, CniError) as problem:
            log.warning("host ports: %s", problem)
            return False
        log.info("host ports compared with their records, as another program may have changed their rules")
        return True

    def close(self) -> None:
        """Rules stay: host ports answer while the daemon restarts."""
        self._table.close()

    def _in_table(self) -> list[Holder]:
        return self._records.all(NFTABLES)

    def _backend(self) -> str:
        """Of who names none."""
        return backends.choose(self._table.require, self._chains.require)


@functools.cache
def of(run_dir: Path) -> HostPorts:
    """The host ports whose records lie beside the daemon's socket."""
    return HostPorts(run_dir / "hostports")


def allow_loopback(holder: Holder) -> None:
    """The kernel sends what came from 127.0.0.1 only out of links that allow it."""
    if holder.snat and any(f.version == 4 for f in holder.forwards):
        for link in holder.links:
            # Gone with its pod or about to be made anew; whoever makes it restores.
            with contextlib.suppress(FileNotFoundError):
                netns.write_sysctl(None, f"net.ipv4.conf.{link.replace('.', '/')}.route_localnet", 1)


def stale(flows: Iterable[Flow], forwards: Iterable[Forward], ended: bool) -> list[Flow]:
    """UDP flows to these host ports that do not lead to the pod, or do when it has `ended`. Pure.

    A UDP flow never ends while its client keeps sending: begun before the rule it would miss the pod for ever, begun
    with an earlier pod it would keep to that one's address.
    """
    ports = {(f.host_port, f.host_ip): (f.pod_ip, f.pod_port) for f in forwards if f.protocol == "udp"}
    found = []
    for flow in flows:
        address, port = flow.destination
        wanted = ports.get((port, address)) or ports.get((port, ""))
        if flow.protocol == _UDP and wanted and (flow.answering == wanted) == ended:
            found.append(flow)
    return found


def forget(forwards: Iterable[Forward], ended: bool = False) -> None:
    """Remove stale flows from connection tracking."""
    udp = [f for f in forwards if f.protocol == "udp"]
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        mine = [f for f in udp if f.version == version]
        if mine:
            with Tracking(family) as tracking:
                for flow in stale(tracking.flows(), mine, ended):
                    tracking.delete(flow)
