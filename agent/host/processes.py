"""What the kernel counts of processes: their interfaces, descriptors and limits, under cadvisor's names.

Source: proc(5).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.host.figures import Samples

PROC = Path("/proc")
# What a container's traffic is counted at otherwise, or is not traffic.
_IGNORED = ("lo", "veth", "docker", "nerdctl")
_COLUMNS = {
    "receive_bytes": 0,
    "receive_packets": 1,
    "receive_errors": 2,
    "receive_packets_dropped": 3,
    "transmit_bytes": 8,
    "transmit_packets": 9,
    "transmit_errors": 10,
    "transmit_packets_dropped": 11,
}


def network(pid: int | str, proc: Path = PROC) -> Samples:
    """Of the interfaces of the network namespace that a process (or `self`) is in."""
    try:
        lines = (proc / str(pid) / "net/dev").read_text().splitlines()[2:]
    except OSError:
        return {}
    found: Samples = {}
    for line in lines:
        name, _, rest = line.partition(":")
        name, words = name.strip(), rest.split()
        if not name.startswith(_IGNORED) and len(words) > max(_COLUMNS.values()):
            for kind, column in _COLUMNS.items():
                row = found.setdefault(f"container_network_{kind}_total", [])
                row.append((f'interface="{name}"', int(words[column])))
    return found


def counted(pids: Sequence[int], proc: Path = PROC) -> Samples:
    """Of the processes of one container, the first of them its oldest."""
    descriptors = sockets = 0
    for pid in pids:
        for opened in _descriptors(proc / str(pid) / "fd"):
            descriptors += 1
            # One that is closed meanwhile takes no other along.
            with contextlib.suppress(OSError):
                sockets += os.readlink(opened).startswith("socket:")  # noqa: PTH115  (thousands)
    found: Samples = {
        "container_processes": [("", len(pids))],
        "container_file_descriptors": [("", descriptors)],
        "container_sockets": [("", sockets)],
    }
    if pids and (most := _open_files(proc / str(pids[0]) / "limits")) is not None:
        found["container_ulimits_soft"] = [('ulimit="max_open_files"', most)]
    return found


def _descriptors(directory: Path) -> Iterator[str]:
    """Paths; none of a process that is gone."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            yield entry.path


def _open_files(limits: Path) -> int | None:
    """The soft limit; -1 where there is none."""
    try:
        lines = limits.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else -1
    return None
