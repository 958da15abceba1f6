"""Mounts and safe opens straight from the kernel: mount(2), umount2(2), openat2(2), /proc/self/mountinfo.

Calls block for microseconds and may be made on the event loop.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

RESOLVE_BENEATH = 0x08
RESOLVE_NO_MAGICLINKS = 0x02
# The same number on every architecture: system calls since 5.x share one table.
_SYS_OPENAT2 = 437
_OCTAL = re.compile(r"\\([0-7]{3})")
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, fstype: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); raises OSError naming the target."""
    done = _libc.mount(
        source.encode(),
        os.fsencode(target),
        fstype.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def bind_descriptor(descriptor: int, target: Path) -> None:
    """Bind what an open descriptor refers to, so that no path is looked up a second time."""
    mount(f"/proc/self/fd/{descriptor}", target, flags=MS_BIND)


def own_mount(directory: Path, propagation: int) -> bool:
    """Have the directory be a mount (of itself, when nothing is mounted there) with this propagation, for itself and
    all below. True when it was none before. Any number of processes may call it at once: the directory's lock is held,
    which iproute2 takes for /run/netns, too.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(directory):
        fresh = not stacked(directory)
        if fresh:
            mount(str(directory), directory, flags=MS_BIND | MS_REC)
        mount("", directory, flags=propagation | MS_REC)
        return fresh


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock (flock(2)) against others who change what is mounted there."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def unmount(target: Path) -> None:
    """Detach every mount stacked on `target`; not mounted is success."""
    while unmount_top(target):
        pass


def unmount_top(target: Path) -> bool:
    """Detach the topmost mount on `target`; False when there is none."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOENT):
        return False
    raise OSError(code, os.strerror(code), str(target))


def stacked(target: Path) -> int:
    """How many mounts lie on each other at `target`, from the one that the path leads to downwards; 0 when it is no
    mount point. Those under a mount of a parent directory do not count.
    """
    try:
        descriptor = os.open(target, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        # proc(5), fdinfo
        found = re.search(r"mnt_id:\s*(\d+)", Path(f"/proc/thread-self/fdinfo/{descriptor}").read_text())
    finally:
        os.close(descriptor)
    table = {}
    for line in Path("/proc/thread-self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        table[fields[0]] = (fields[1], _path(fields[4]))
    count, mount_id = 0, found[1] if found else ""
    while mount_id in table and table[mount_id][1] == str(target):
        count, mount_id = count + 1, table[mount_id][0]
    return count


def mount_points(under: Path) -> list[Path]:
    """Mount points at or below `under`, deepest first."""
    text = Path("/proc/thread-self/mountinfo").read_text()
    return mount_points_in(text, str(under))


def mount_points_in(mountinfo: str, under: str) -> list[Path]:
    """The same over the text of a mountinfo file."""
    prefix, found = under.rstrip("/") + "/", []
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 4:
            point = _path(fields[4])
            if point == under or point.startswith(prefix):
                found.append(point)
    return [Path(point) for point in sorted(found, key=lambda p: (p.count("/"), p), reverse=True)]


def _path(field: str) -> str:
    """A path as mountinfo writes it: blanks in octal."""
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field)


def open_beneath(root: int, path: str, flags: int = os.O_PATH) -> int:
    """Open `path` below the directory `root` (a descriptor), following links only as far as they stay below
    it.

    Raises OSError; EXDEV says that the path would have left the directory.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    opened = _libc.syscall(_SYS_OPENAT2, root, os.fsencode(path), how, ctypes.c_size_t(len(how)))
    if opened < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return int(opened)
