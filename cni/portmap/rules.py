"""The applier: records and the kernel's table change together, and the table is written anew when others touched it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.conntrack import Flow, Tracking
from apimachinery.kit.nft import Nft, NftError
from cni import foreign, types
from cni.portmap import plan
from cni.portmap.plan import Forward, Holder
from cni.portmap.records import Key, Records
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
        self._opening = threading.Lock()
        self._nft: Nft | None = None

    def add(self, holder: Holder, namespace: str) -> None:
        """On disk first, so that whatever rule there is can be found again."""
        with self._records.lock():
            beside = [h for h in self._records.users(f.port for f in holder.forwards) if h.key != holder.key]
            if problem := plan.clash(holder, beside):
                raise CniError(types.INVALID_CONFIG, problem)
            known = self._records.know_networks(holder)
            self._records.write(holder, namespace)
            try:
                if known:
                    self._apply(plan.added(holder))
                else:
                    self._write(plan.ruleset(self._records.all()))
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
            others = self._records.count() > 1
            self._apply(plan.removed(holder) if others else plan.ruleset(()), without=key)
            self._records.remove(key)
        forget(holder.forwards, ended=True)

    def check(self, holder: Holder) -> None:
        """CniError when a port is missing in the kernel."""
        if not holder.forwards:
            return
        try:
            self._run(plan.present(holder))
        except NftError as refused:
            raise CniError(types.INTERNAL, "a host port's rule is missing", refused.message) from None

    def keep_only(self, network: str, valid: set[tuple[str, str]]) -> None:
        """Free what attachments of this network hold that the runtime does not know."""
        if not self._records.exist():
            return
        with self._records.lock():
            keys = [h.key for h in self._records.all()]
        for key in keys:
            if key[0] == network and key[1:] not in valid:
                self.remove(key)

    def require(self) -> None:
        """CniError(50) when rules cannot be written here."""
        try:
            self._open()
        except NftError as refused:
            raise CniError(types.PLUGIN_NOT_AVAILABLE, "host ports cannot be served", refused.message) from None

    def restore(self) -> None:
        """Write all rules anew, without those of pods that are gone; nothing is touched where no pod had any."""
        if not self._records.exist():
            return
        with self._records.lock():
            gone = self._records.sweep()
            holders = self._records.all()
            if not holders and not gone:
                return
            self._write(plan.ruleset(holders))
            for holder in holders:
                allow_loopback(holder)
        forget([f for h in gone for f in h.forwards], ended=True)
        forget([f for h in holders for f in h.forwards])

    async def heal(self) -> None:
        """Restore whenever another program changed the table; runs for ever."""
        async for _ in foreign.changes(plan.TABLE, lambda: self._nft.owner if self._nft else ""):
            while not await self._healed():
                await asyncio.sleep(RETRY_PERIOD)

    async def _healed(self) -> bool:
        try:
            await asyncio.to_thread(self.restore)
        except (OSError, CniError) as problem:
            log.warning("host ports: %s", problem)
            return False
        log.info("host ports written again: another program had changed %s", plan.TABLE)
        return True

    def close(self) -> None:
        """Rules stay: host ports answer while the daemon restarts."""
        if self._nft is not None:
            self._nft.close()
            self._nft = None

    def _apply(self, change: str, without: Key | None = None) -> None:
        """A change of the table that the records tell of; `without`: all but this holder's."""
        try:
            self._run(change)
        except NftError:
            # The table is missing, or not what the records say: all of it then.
            self._write(plan.ruleset(h for h in self._records.all() if h.key != without))

    def _write(self, text: str) -> None:
        try:
            self._run(text)
        except NftError as refused:
            raise CniError(types.IO_FAILURE, "host ports: the kernel refused the rules", refused.message) from None

    def _run(self, text: str) -> None:
        try:
            self._open().run_blocking(text)
        except TimeoutError:
            raise CniError(types.TRY_AGAIN_LATER, "host ports: nftables did not answer in time") from None

    def _open(self) -> Nft:
        with self._opening:
            if self._nft is None:
                nft = Nft()
                try:
                    nft.open_blocking()
                except BaseException:
                    nft.close()
                    raise
                self._nft = nft
            return self._nft


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
