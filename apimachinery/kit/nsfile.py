"""Files that keep a namespace, of whatever kind (`/proc/PID/ns/KIND` bound to them): told apart, entered, forgotten.

Sources: namespaces(7), setns(2).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from apimachinery.kit import mounts

NET, MOUNTS, UTS = 0x40000000, 0x00020000, 0x04000000
"""CLONE_NEW… of the kinds."""

_CURRENT = Path("/proc/thread-self/ns/mnt")
_libc = ctypes.CDLL(None, use_errno=True)


def identity(namespace: Path = _CURRENT) -> tuple[int, int] | None:
    """(device, inode) that tells namespaces apart; None when the file keeps none. Without argument: this thread's of
    mounts.
    """
    try:
        info = namespace.stat()
    except OSError:
        return None
    return (info.st_dev, info.st_ino) if info.st_dev == _CURRENT.stat().st_dev else None


def unshare(kind: int) -> None:
    """Give the calling thread a namespace of its own."""
    if _libc.unshare(kind) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot unshare namespace {kind:#x}: {os.strerror(code)}")


def enter(path: Path, kind: int) -> None:
    """Take this whole process, which must have one thread, into the namespace that the file keeps. In one of mounts its
    working and root directory become those of the namespace.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, kind) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"cannot enter namespace {path}: {os.strerror(code)}")
    finally:
        os.close(descriptor)


def keep(path: Path, namespace: Path) -> None:
    """Have `path` keep a namespace (`/proc/PID/ns/mnt`). Its directory becomes a private mount: the kernel binds a file
    of a mount namespace nowhere else.
    """
    mounts.own_mount(path.parent, mounts.MS_PRIVATE)
    path.touch(mode=0o600)
    mounts.mount(str(namespace), path, flags=mounts.MS_BIND)


def forget(path: Path) -> None:
    """Keep it no longer; it ends with the last process in it."""
    mounts.unmount(path)
    path.unlink(missing_ok=True)
