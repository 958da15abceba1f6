"""Network namespaces: create, name, enter and delete them without a fork and without the `ip` command.

A namespace is given as a path (`/run/netns/NAME`, `/proc/PID/ns/net`, any bind mount) or as an open descriptor of one.
`setns(2)` changes the calling thread only, so code runs in a namespace (`call`) in a
thread of its own, which ends there: no thread of the process can be left in the wrong namespace. A socket
keeps the namespace it was opened in, so code that needs one elsewhere opens it there once (`open_socket`, a
visit of the calling thread that does nothing else) and then works from any thread.

The directory of names is shared with iproute2 and everyone who follows it: before the first name it is bound to
itself and made shared, so that a name given or taken in one mount namespace is so in all. Whoever skips that makes
names that the next `ip netns add` hides, and that then cannot be taken away. The directory's lock is held meanwhile.

Sources: namespaces(7), mount_namespaces(7), setns(2), unshare(2), ip-netns(8) for the naming convention.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from apimachinery.kit import mountns, mounts

T = TypeVar("T")
Namespace = Path | str | int

DIRECTORY = Path("/run/netns")
CURRENT = Path("/proc/thread-self/ns/net")

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def path_of(name: str) -> Path:
    """Where the namespace called `name` is (or would be) mounted."""
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"{name!r} is not a name for a network namespace")
    return DIRECTORY / name


def prepare() -> bool:
    """Have the directory of names shared by all mount namespaces, as iproute2 does before its first name. True when
    this call made it so.
    """
    return mounts.own_mount(DIRECTORY, mounts.MS_SHARED)


def release() -> bool:
    """Undo `prepare`, unless there are names that somebody uses."""
    with contextlib.suppress(FileNotFoundError), mounts.locked(DIRECTORY):
        if names():
            return False
        mounts.unmount(DIRECTORY)
        return True
    return False


def create(name: str, source: Path | None = None) -> Path:
    """Make a new, empty namespace (only a `lo` that is down) and name it; with `source` (`/proc/PID/ns/net`) name
    that one. FileExistsError when the name is taken.
    """
    path = path_of(name)
    prepare()
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444))
    try:
        if source is None:
            _in_thread(lambda: _unshare_and_bind(path))
        else:
            mounts.mount(str(source), path, flags=mounts.MS_BIND)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def delete(name: str) -> bool:
    """Take the name away; the kernel frees the namespace when its last process and socket are gone. False:
    no such name.
    """
    path = path_of(name)
    mounts.unmount(path)
    found = path.exists()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    # More than the one mount that iproute2 makes, or a name not found in it: it may lie under another mount.
    if path.exists() or (layers := mounts.stacked(DIRECTORY)) > 1 or (layers and not found):
        found = _in_thread(lambda: _unlink_hidden(path)) or found
    return found


def _unlink_hidden(path: Path) -> bool:
    """Take away a name whose mount lies under a later mount of the directory, where no path leads.

    In a mount namespace of this thread's own the layers are lifted one by one. A file that is no mount point there
    may be unlinked, and the kernel then detaches what is mounted on it everywhere else (mount_namespaces(7)).
    """
    mountns.isolate()
    found = False
    for _ in range(mounts.stacked(DIRECTORY)):
        mounts.unmount_top(DIRECTORY)
        mounts.unmount(path)
        found |= path.exists()
        path.unlink(missing_ok=True)
    return found


def names() -> list[str]:
    """The named namespaces of this machine, sorted."""
    return sorted(p.name for p in DIRECTORY.iterdir()) if DIRECTORY.is_dir() else []


def identity(namespace: Namespace | None = None) -> tuple[int, int] | None:
    """(device, inode) that tells namespaces apart; None when nothing is mounted there. Without argument:
    this thread's.
    """
    try:
        info = os.fstat(namespace) if isinstance(namespace, int) else Path(namespace or CURRENT).stat()
    except OSError:
        return None
    return (info.st_dev, info.st_ino) if info.st_dev == CURRENT.stat().st_dev else None


def call(namespace: Namespace, function: Callable[[], T]) -> T:
    """Run `function` in a fresh thread inside the namespace and hand back its result or its exception.

    Blocks the caller; in a coroutine use `await asyncio.to_thread(netns.call, ...)` unless the function is
    quick.
    """
    fd = namespace if isinstance(namespace, int) else os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _in_thread(lambda: _inside(fd, namespace, function))
    finally:
        if fd != namespace:
            os.close(fd)


def apart(function: Callable[[], T]) -> T:
    """The same in a new, empty namespace without a name, which ends with the last socket that was opened there: to try
    something of which nothing may stay, whatever becomes of this process.
    """

    def body() -> T:
        _unshare()
        return function()

    return _in_thread(body)


def open_socket(namespace: Namespace, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket that lives inside the namespace (and keeps it alive); usable from any thread.

    The one visit made by the calling thread itself: a thread for each pod's socket costs more than all its
    requests. A thread that cannot come back would do its next work in a stranger's network, so then the
    process ends.
    """
    fd = namespace if isinstance(namespace, int) else os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        home = os.open(CURRENT, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _inside(fd, namespace, lambda: socket.socket(family, kind, protocol))
        finally:
            if _libc.setns(home, _CLONE_NEWNET) != 0:
                os.abort()
            os.close(home)
    finally:
        if fd != namespace:
            os.close(fd)


def write_sysctl(namespace: Namespace | None, name: str, value: str | int) -> None:
    """Set `net.ipv4.ip_forward` and the like; `/proc/sys/net` shows the namespace of the thread that opens it.

    A dot inside an interface name is written as a slash, as sysctl(8) does:
    `net.ipv4.conf.eth0/5.forwarding`.
    """
    path, text = _sysctl_path(name), str(value)

    def write() -> None:
        # Writing ip_forward again would reset per-interface settings, so only differences are written.
        if path.read_text().strip() != text:
            path.write_text(text)

    write() if namespace is None else call(namespace, write)


def read_sysctl(namespace: Namespace | None, name: str) -> str:
    """What `write_sysctl` would set. Raises OSError."""
    path = _sysctl_path(name)
    read = path.read_text if namespace is None else partial(call, namespace, path.read_text)
    return read().strip()


def _sysctl_path(name: str) -> Path:
    return Path("/proc/sys") / name.translate(str.maketrans("./", "/."))


def _unshare() -> None:
    _check(_libc.unshare(_CLONE_NEWNET), "unshare a network namespace")


def _unshare_and_bind(path: Path) -> None:
    _unshare()
    mounts.mount(str(CURRENT), path, flags=mounts.MS_BIND)


def _inside(fd: int, shown: Namespace, function: Callable[[], T]) -> T:
    _check(_libc.setns(fd, _CLONE_NEWNET), f"enter network namespace {shown}")
    return function()


def _check(result: int, asked: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot {asked}: {os.strerror(code)}")


def _in_thread(function: Callable[[], T]) -> T:
    outcome: list[T | BaseException] = []
    failed = False

    def body() -> None:
        nonlocal failed
        try:
            outcome.append(function())
        except BaseException as problem:
            failed = True
            outcome.append(problem)

    thread = threading.Thread(target=body, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise cast(BaseException, outcome[0])
    return cast(T, outcome[0])
