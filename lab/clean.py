"""Ending what a node leaves: containers, shims, mounts, cgroups. For a node that stopped well this finds nothing.

Nothing here asks a daemon: it must work when every daemon of the node is dead. What belongs to a node is
known by paths and names that only that node has.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from apimachinery.kit import mounts

CGROUPS = Path("/sys/fs/cgroup")
DEADLINE = 10.0
# Fixed in containerd and libcni, so the nodes of a lab and the machine's own containerd share them.
SHIM_SOCKETS = Path("/run/containerd/s")
CTR_PIPES = Path("/run/containerd/fifo")
CNI_RESULTS = Path("/var/lib/cni/results")
_SOCKET = re.compile(rf"unix://({re.escape(str(SHIM_SOCKETS))}/[0-9a-f]+)")


def cgroup_directories(name: str) -> list[Path]:
    """The cgroup ``name`` in every hierarchy that is mounted: v2, v1 controllers, or both."""
    candidates = [CGROUPS / name, *(CGROUPS.glob(f"*/{name}"))]
    return [path for path in candidates if path.is_dir()]


def processes_of_cgroup(name: str) -> set[int]:
    """Every process in the cgroup or below it."""
    found: set[int] = set()
    for top in cgroup_directories(name):
        for file in (top / "cgroup.procs", *top.glob("**/cgroup.procs")):
            with contextlib.suppress(OSError):
                found.update(int(line) for line in file.read_text(encoding="ascii").split())
    return found


def processes_naming(text: str) -> set[int]:
    """Processes whose command line holds ``text``: a path that only one node's shims are given."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if text.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.add(int(entry.name))
    return found


async def kill(finders: Sequence[Callable[[], set[int]]]) -> None:
    """SIGKILL the processes (pids) that the finders find, until they find none, for at most DEADLINE."""
    deadline = time.monotonic() + DEADLINE
    while True:
        pids = {pid for finder in finders for pid in finder()}
        if not pids or time.monotonic() > deadline:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.02)


def forget_containers(root: Path, state: Path) -> None:
    """Remove what containerd (its ``root`` and ``state`` directories are given) keeps elsewhere for containers that
    were killed: the sockets of their shims and libcni's results. Directories that this leaves empty go too.
    """
    for file in (*state.glob("*.task/*/*/address"), *state.glob("*.task/*/*/bootstrap.json")):
        with contextlib.suppress(OSError):
            for path in _SOCKET.findall(file.read_text(encoding="utf-8")):
                Path(path).unlink(missing_ok=True)
    sandboxes = {path.name for path in root.glob("*/sandboxes/*")}
    for result in CNI_RESULTS.glob("*") if sandboxes else ():
        if sandboxes & set(result.name.split("-")):
            result.unlink(missing_ok=True)
    for directory in (SHIM_SOCKETS, CTR_PIPES, SHIM_SOCKETS.parent, CNI_RESULTS, CNI_RESULTS.parent):
        with contextlib.suppress(OSError):
            directory.rmdir()


def unmount_below(directory: Path) -> None:
    """Unmount everything at or below ``directory``."""
    for point in mounts.mount_points(directory):
        mounts.unmount(point)


def remove_tree(directory: Path) -> None:
    """Delete a directory, but never through a mount: raises OSError when one is left below it."""
    unmount_below(directory)
    left = mounts.mount_points(directory)
    if left:
        raise OSError(f"{left[0]} is still mounted; unmount it, then run the command again")
    shutil.rmtree(directory, ignore_errors=False) if directory.exists() else None


def remove_cgroup(name: str) -> None:
    """Remove the cgroup and everything below it, from every hierarchy. Its processes must have ended."""
    for top in cgroup_directories(name):
        below = sorted((path for path in top.glob("**/") if path.is_dir()), key=lambda p: -len(p.parts))
        for path in below:
            with contextlib.suppress(FileNotFoundError):
                _remove_when_empty(path)


def _remove_when_empty(path: Path) -> None:
    """rmdir, patient while the kernel still takes the last processes apart (EBUSY)."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            path.rmdir()
            return
        except OSError:
            if not path.exists() or time.monotonic() > deadline:
                return
            time.sleep(0.02)
