"""Clearing away what tests made and did not remove: of those that ran without an enclosure and were killed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, links
from lab import cgroups, clean, cluster, neighbours, processes, state
from lab.paths import RUN, Paths
from lab.progress import Progress

PREFIX = "wht"
REPORTS = "reports-"
"""How the directory of a run's reports begins, in the cache."""
_DIRECTORIES = (Path("/var/tmp"), Path(tempfile.gettempdir()))


@asynccontextmanager
async def swept(cache: Path) -> AsyncIterator[None]:
    """Sweep before and after, but not while another run is under way: what its tests make is not left over. The last
    of several sweeps for all. They know of each other by a lock in `cache`. Until then the machine has room for the
    neighbours of all of them: no enclosure can give its own.
    """
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = os.open(cache / "tests.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if await _sweep_alone(lock):
            for left in cache.glob(f"{REPORTS}*"):
                shutil.rmtree(left, ignore_errors=True)
        # Shared by all runs; who sweeps has it alone, for some seconds.
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_SH)
        neighbours.make_room(neighbours.of_tests())
        try:
            yield
        finally:
            if await _sweep_alone(lock):
                neighbours.put_back(neighbours.of_tests(), neighbours.of_labs())
    finally:
        os.close(lock)


async def _sweep_alone(lock: int) -> bool:
    """Sweep, unless another run is under way; whether there was none."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    await sweep()
    return True


async def sweep() -> None:
    """Clear away labs, processes, directories, namespaces, links and cgroups that tests made and did not remove."""
    if os.geteuid() != 0:
        return
    for lab in _test_labs():
        paths = Paths(lab)
        await cluster.down(paths, Progress(quiet=True))
        paths.lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        RUN.rmdir()
    await processes.kill([_strays])
    for directory in _directories():
        await asyncio.to_thread(clean.remove_tree, directory)
    for name in netns.names():
        if name.startswith(PREFIX):
            netns.delete(name)
    with Netlink() as kernel:
        for link in kernel.links():
            if link.name.startswith(PREFIX):
                kernel.do(links.delete(link.name))
    for name in _cgroups():
        await asyncio.to_thread(cgroups.remove, name)


def _strays() -> set[int]:
    """Processes in a test's network namespace or cgroup, and daemons that it configured in a directory of its own."""
    homes = {netns.identity(netns.path_of(name)) for name in netns.names() if name.startswith(PREFIX)}
    homes -= {None, netns.identity()}
    found = {pid for directory in _directories() for pid in processes.daemons_below(directory)}
    for name in _cgroups():
        found |= cgroups.members(name)
    everyone = set(processes.pids())
    return found.union(*(processes.inside(everyone, "net", home) for home in homes))


def _cgroups() -> set[str]:
    """In every hierarchy, v1 and v2."""
    return cgroups.matching(f"{PREFIX}.*")


def _directories() -> list[Path]:
    return [path for base in _DIRECTORIES for path in base.glob(f"{PREFIX}-*") if path.is_dir()]


def _test_labs() -> list[str]:
    return [name for name in state.labs() if name.startswith(PREFIX)]
