"""Mount namespaces that a file keeps: made, entered by whoever opens the file (`nsenter --mount=FILE`), forgotten.

Mounts made outside are seen inside (slave), mounts made inside are seen by everyone inside and by nobody outside
(shared), as on a machine where systemd runs; nothing is left of them when the file and the last process are gone.

Sources: mount_namespaces(7), unshare(1) on persistent mount namespaces.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from apimachinery.kit import mounts

_CLONE_NEWNS = 0x00020000
_CURRENT = Path("/proc/thread-self/ns/mnt")
_libc = ctypes.CDLL(None, use_errno=True)


def identity(namespace: Path = _CURRENT) -> tuple[int, int] | None:
    """(device, inode) that tells namespaces apart; None when the file keeps none. Without argument: this thread's."""
    try:
        info = namespace.stat()
    except OSError:
        return None
    return (info.st_dev, info.st_ino) if info.st_dev == _CURRENT.stat().st_dev else None


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
        keep(path, Path(f"/proc/self/task/{made[0]}/ns/mnt"))
    finally:
        kept.set()
        thread.join()


def isolate() -> None:
    """Give the calling thread a mount namespace of its own: what it mounts is seen by nobody else."""
    if _libc.unshare(_CLONE_NEWNS) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot unshare the mount namespace: {os.strerror(code)}")
    mounts.mount("", Path("/"), flags=mounts.MS_SLAVE | mounts.MS_REC)


def enter(path: Path) -> None:
    """Take this whole process, which must have one thread, into the namespace that the file keeps. Its working and
    root directory become those of the namespace.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNS) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"cannot enter mount namespace {path}: {os.strerror(code)}")
    finally:
        os.close(descriptor)


def keep(path: Path, namespace: Path) -> None:
    """Have `path` keep a namespace (`/proc/PID/ns/mnt`). Its directory becomes a private mount: the kernel binds such
    a file nowhere else.
    """
    mounts.own_mount(path.parent, mounts.MS_PRIVATE)
    path.touch(mode=0o600)
    mounts.mount(str(namespace), path, flags=mounts.MS_BIND)


def forget(path: Path) -> None:
    """Keep it no longer; it ends with the last process in it."""
    mounts.unmount(path)
    path.unlink(missing_ok=True)
