"""Links that nobody reads from: one that lives as long as its process, and one that stays and swallows.

The first is a promise of the kernel's: it goes with its descriptor, and whatever routes lead to it go with it, however
the process ends. Sources: Documentation/networking/tuntap.rst, linux/if_tun.h.
"""

from __future__ import annotations

import fcntl
import os
import resource
import struct

_DEVICE = "/dev/net/tun"
_SET_LINK, _SET_PERSISTENT = 0x400454CA, 0x400454CB
_TUN, _NO_HEAD = 0x0001, 0x1000
_HIGHEST = 1 << 16
"""a higher descriptor would make the kernel's table of this process large"""


def lasting(name: str) -> None:
    """A link that stays until somebody deletes it, unless there is one of the name; what is sent there is lost.

    Raises OSError: FileNotFoundError or ENODEV where the kernel has no such links, PermissionError.
    """
    descriptor, _ = _attached(name)
    try:
        fcntl.ioctl(descriptor, _SET_PERSISTENT, 1)
    finally:
        os.close(descriptor)


class Passing:
    """A link that goes with this process. `pattern`: its name, with `%d` for a number that is free. Raises as `lasting`
    does."""

    def __init__(self, pattern: str) -> None:
        first, self.name = _attached(pattern)
        try:
            # The kernel closes what a process leaves behind from the highest descriptor to the lowest: this one before
            # the sockets that it leads to.
            limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _HIGHEST)
            self._descriptor = _highest(first, limit)
        finally:
            os.close(first)

    def close(self) -> None:
        """Delete it."""
        os.close(self._descriptor)


def _highest(descriptor: int, limit: int) -> int:
    """A copy at the highest number that is free."""
    for number in range(limit - 1, 0, -1):
        try:
            os.fstat(number)
        except OSError:
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, number)
    return os.dup(descriptor)


def _attached(name: str) -> tuple[int, str]:
    """A descriptor of the link of that name, which is made if there is none, and the name it has."""
    descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        asked = struct.pack("16sH22x", name.encode(), _TUN | _NO_HEAD)
        told = fcntl.ioctl(descriptor, _SET_LINK, asked)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, told[:16].split(b"\0", 1)[0].decode()
