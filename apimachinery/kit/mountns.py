"""Mount namespaces that a file keeps (`nsfile`): made, and entered by whoever opens it (`nsenter --mount=FILE`).

Mounts made outside are seen inside (slave), mounts made inside are seen by everyone inside and by nobody outside
(shared), as on a machine where systemd runs; nothing is left of them when the file and the last process are gone.

Sources: mount_namespaces(7), unshare(1) on persistent mount namespaces.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from apimachinery.kit import mounts, nsfile


def create(path: Path, arrange: Callable[[], None]) -> None:
    """Make a mount namespace, call `arrange` inside it, and have `path` keep it. A path that keeps one is an error.

    The kernel lets a file keep only a namespace that is younger than the one it is in, and tells their age by numbers
    that (seen with 6.18) each processor draws from a stock of its own: so where it refuses, every processor is tried.
    """
    for processor in (None, *sorted(os.sched_getaffinity(0))):
        try:
            return _create(path, arrange, processor)
        except OSError as error:
            refused = error
            if error.errno != errno.EINVAL:
                raise
    raise refused


def _create(path: Path, arrange: Callable[[], None], processor: int | None) -> None:
    ready, kept = threading.Event(), threading.Event()
    made: list[int] = []
    problems: list[BaseException] = []

    def live() -> None:
        try:
            if processor is not None:
                os.sched_setaffinity(0, {processor})
            isolate()
            mounts.mount("", Path("/"), flags=mounts.MS_SHARED | mounts.MS_REC)
            arrange()
            made.append(threading.get_native_id())
        except BaseException as problem:
            problems.append(problem)
        ready.set()
        kept.wait()

    thread = threading.Thread(target=live, name="mountns", daemon=True)
    thread.start()
    try:
        ready.wait()
        if problems:
            raise problems[0]
        nsfile.keep(path, Path(f"/proc/self/task/{made[0]}/ns/mnt"))
    finally:
        kept.set()
        thread.join()


def isolate() -> None:
    """Give the calling thread a mount namespace of its own: what it mounts is seen by nobody else."""
    nsfile.unshare(nsfile.MOUNTS)
    mounts.mount("", Path("/"), flags=mounts.MS_SLAVE | mounts.MS_REC)
