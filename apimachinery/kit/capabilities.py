"""Giving up capabilities in a process that is already running; whoever starts a program uses setpriv(1) for it.

Sources: capabilities(7), capset(2), prctl(2), linux/capability.h for the numbers.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection
from pathlib import Path

NUMBERS = {
    "chown": 0,
    "dac_override": 1,
    "dac_read_search": 2,
    "fowner": 3,
    "fsetid": 4,
    "kill": 5,
    "net_bind_service": 10,
    "net_admin": 12,
    "net_raw": 13,
    "sys_chroot": 18,
    "sys_ptrace": 19,
    "sys_admin": 21,
    "sys_resource": 24,
    "syslog": 34,
}
_LAST = Path("/proc/sys/kernel/cap_last_cap")
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def keep_only(names: Collection[str]) -> None:
    """Keep these (of NUMBERS), as far as they are there, for this process and all that it starts, for good; also
    programs that are set-user-id give nothing more. For a process of one thread, as root. OSError when the kernel
    refuses.
    """
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # Effective, permitted, inheritable: the lower 32 of each, then the higher.
    data = (ctypes.c_uint32 * 6)()
    _call(_libc.capget(header, data), "read the capabilities")
    kept = sum(1 << NUMBERS[name] for name in set(names)) & (data[1] | data[4] << 32)
    _call(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "promise no new privileges")
    for number in range(int(_LAST.read_text()) + 1):
        if not kept >> number & 1:
            _call(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop capability {number}")
    _call(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear the ambient capabilities")
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data[:] = [low, low, 0, high, high, 0]
    _call(_libc.capset(header, data), "give up capabilities")


def _call(result: int, asked: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot {asked}: {os.strerror(code)}")
