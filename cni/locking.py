"""Waiting for a lock that another process or thread of the node holds for a moment."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from cni.types import TRY_AGAIN_LATER, CniError

LOCK_TIMEOUT = 10.0


def wait_for(fd: int, directory: Path) -> None:
    """Lock an open file of `directory`. CniError(11) when another holds it longer than LOCK_TIMEOUT seconds."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise CniError(TRY_AGAIN_LATER, f"{directory} stayed locked {LOCK_TIMEOUT:.0f} s") from None
            # flock has no timeout; the lock is held well under a millisecond by each holder.
            time.sleep(0.0005)
