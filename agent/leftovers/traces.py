"""What there is of containers, asked of /proc and the runtime's directories. Blocks for some milliseconds."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import socket
import time
from pathlib import Path

from agent.cri.containerd import NAMESPACE, Directories
from agent.leftovers.model import Shim, Traces
from apimachinery.kit import births, mounts

# Where shims listen, whichever containerd started them: fixed in containerd.
SOCKETS = Path("/run/containerd/s")
# A socket that nobody listens at may be one that its shim is just making.
_SETTLED_SECONDS = 60.0


def read(places: Directories) -> Traces:
    """Everything there is now."""
    return Traces(
        shims=tuple(shims(places.socket)),
        bundles=_names(places.bundles) | _names(places.works),
        states=frozenset().union(*(_names(root) for root in places.runc)),
        dead_sockets=_dead_sockets(),
        records=tuple(found for place in places.records for found in _dated(place, mounted=True)),
        scratch=_dated(places.scratch, mounted=False),
        networks=_dated(places.networks, mounted=True),
    )


def shims(address: Path) -> list[Shim]:
    """Every shim that was started for containerd at `address`."""
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208  (a Path for each process takes longer than the look)
        if entry.isdigit() and (shim := shim_of(int(entry), address)) is not None:
            found.append(shim)
    return found


def shim_of(pid: int, address: Path) -> Shim | None:
    """The process as a shim of containerd at `address`; None where it is anything else."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            words = file.read().split(b"\0")
        if b"/containerd-shim-" not in b"/" + words[0] or str(address).encode() not in words:
            return None
        options = dict(itertools.pairwise(words))
        executable = os.path.basename(os.readlink(f"/proc/{pid}/exe"))  # noqa: PTH115, PTH119
    except OSError:
        return None
    if options.get(b"-namespace") != NAMESPACE.encode() or not executable.startswith("containerd-shim-"):
        return None
    return Shim(pid, options.get(b"-id", b"").decode("ascii", "replace"))


def socket_of(address: Path, container_id: str) -> Path:
    """Where the shim of a container listens."""
    key = f"{address}/{NAMESPACE}/{container_id}"
    return SOCKETS / hashlib.sha256(key.encode()).hexdigest()


def started(pid: int) -> float:
    """When a process began (seconds since the epoch); 0 where it cannot be told."""
    ticks = births.start_ticks(pid)
    return births.moment(ticks).timestamp() if ticks else 0.0


def _names(directory: Path | None) -> frozenset[str]:
    with contextlib.suppress(OSError):
        return frozenset(os.listdir(directory) if directory is not None else ())  # noqa: PTH208
    return frozenset()


def _dated(directory: Path | None, mounted: bool) -> tuple[tuple[Path, float], ...]:
    """What lies in a directory, and when each was made; of what is mounted there only where that is wanted.

    Over a directory the mount's own times would show, which are an image's; a namespace's are those of its making.
    """
    names = _names(directory)
    if directory is None or not names:
        return ()
    points = frozenset() if mounted else frozenset(mounts.mount_points(directory))
    found = []
    for path in sorted(directory / name for name in names):
        with contextlib.suppress(OSError):
            if path not in points:
                found.append((path, path.lstat().st_ctime))
    return tuple(found)


def _dead_sockets() -> tuple[Path, ...]:
    bound = set()
    with contextlib.suppress(OSError):
        bound = {line.split()[-1] for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()}
    found = []
    for file in SOCKETS.iterdir() if SOCKETS.is_dir() else ():
        if str(file) in bound:
            continue
        with contextlib.suppress(OSError):
            # It may be bound in another network namespace: only the kernel's refusal proves that it is dead.
            if time.time() - file.stat().st_ctime > _SETTLED_SECONDS and _refuses(file):
                found.append(file)
    return tuple(found)


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
