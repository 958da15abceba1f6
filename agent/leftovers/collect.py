"""Takes away what is nobody's: at the start, and every half a minute."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from agent.cri.containerd import Containerd, Directories, server_pid
from agent.cri.errors import CriError, CriUnimplemented
from agent.host.cgroups import Cgroups
from agent.leftovers import traces
from agent.leftovers.model import Removal, Shim
from agent.leftovers.plan import plan_removal
from apimachinery.kit import mounts

log = logging.getLogger(__name__)

SECONDS = 30.0
_RETRY_SECONDS = 2.0
_KILL_SECONDS = 5.0


class Leftovers:
    """`cached`: ids the runtime is known to hold; only where there is more than those is its metadata read."""

    def __init__(self, runtime: Containerd, cgroups: Cgroups | None, cached: Callable[[], frozenset[str]]) -> None:
        self._runtime = runtime
        self._cgroups = cgroups
        self._cached = cached
        self._began = -1.0

    async def run(self, ready: asyncio.Event) -> None:
        """Collect until cancelled, from when `ready` is set: the runtime was listed."""
        await ready.wait()
        while True:
            try:
                await self.collect()
            except CriUnimplemented:
                log.info("the runtime is not containerd: what it forgets is its own to collect")
                await asyncio.Event().wait()
            except (CriError, OSError) as error:
                log.info("leftovers are not collected now: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await asyncio.sleep(SECONDS)

    async def collect(self) -> Removal:
        """One look, and the removal of what is nobody's; what that was. Raises CriError."""
        places = await self._runtime.directories()
        if places is None:
            raise CriUnimplemented("Status", "Unimplemented", "no directories")
        seen = await asyncio.to_thread(traces.read, places)
        leases = await self._runtime.leases()
        known = self._cached()
        began = traces.started(pid) if (pid := server_pid(places.socket)) else 0.0
        if (seen.ids | {path.name for path, made in seen.records if made < began}) - known:
            known = await self._runtime.containers()
        old = any(made < began for _, made in seen.networks)
        used = await self._runtime.networks() if old else frozenset()
        removal = plan_removal(seen, known, leases, began, used)
        for lease in removal.leases:
            log.info("collecting lease %s of an operation that was cut off", lease.id)
        if removal.ids or removal.sockets or removal.scratch or removal.networks or removal.records:
            await asyncio.to_thread(self._remove, removal, places)
        if removal.leases or removal.ids or self._began != began:
            # A runtime that is new to this agent, or the other way round: one of them was cut off, perhaps between
            # two steps that leave no other trace.
            await self._runtime.collect_garbage(removal.leases, places.snapshotter)
        self._began = began
        return removal

    def _remove(self, removal: Removal, places: Directories) -> None:
        for shim in removal.shims:
            log.info("ending shim %d of container %s, which the runtime has forgotten", shim.pid, shim.container_id)
            _kill(shim, places.socket)
        for container_id in removal.ids:
            log.info("clearing away what is left of container %s", container_id)
            if self._cgroups is not None:
                self._cgroups.remove_container(container_id)
            for root in places.runc:
                _remove_tree(root / container_id)
            _remove_tree(places.bundles / container_id)
            _remove_tree(places.works / container_id)
            traces.socket_of(places.socket, container_id).unlink(missing_ok=True)
        for path in removal.sockets:
            path.unlink(missing_ok=True)
        for path in (*removal.records, *removal.scratch):
            _remove_tree(path)
        for path in removal.networks:
            log.info("letting go of network namespace %s of a sandbox that was never made", path.name)
            with contextlib.suppress(OSError):
                mounts.unmount(path)
            path.unlink(missing_ok=True)


def _kill(shim: Shim, address: Path) -> None:
    """SIGKILL, and wait for its end: only then nothing of the container is written any more."""
    try:
        descriptor = os.pidfd_open(shim.pid)
    except OSError:
        return
    try:
        # The number may have gone to another process since it was found.
        if traces.shim_of(shim.pid, address) == shim:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            deadline = time.monotonic() + _KILL_SECONDS
            while traces.shim_of(shim.pid, address) == shim and time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        os.close(descriptor)


def _remove_tree(directory: Path) -> None:
    """Unmount what is mounted below, then delete; never through a mount."""
    if not directory.is_dir():
        return
    for point in mounts.mount_points(directory):
        with contextlib.suppress(OSError):
            mounts.unmount(point)
    if left := mounts.mount_points(directory):
        log.warning("%s is still mounted", left[0])
        return
    shutil.rmtree(directory, ignore_errors=True)
