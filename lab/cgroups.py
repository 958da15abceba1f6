"""A lab's cgroups: one for the daemons it started, one for each node's containers, under names only that lab has.

Whoever is in them is the lab's, whatever became of files that say so: membership is inherited, and nobody else
writes there. Pods' own limits are the agent's work; nothing is limited here.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
REMOVE_DEADLINE = 10.0
# Where membership alone is kept, best first: cgroup v2 alone, v2 beside v1, systemd's, a v1 controller.
_TRACKING = (".", "unified", "systemd", "pids", "freezer", "cpu")


def directories(name: str) -> list[Path]:
    """The cgroup `name` in every hierarchy that is mounted: v2, v1 controllers, or both."""
    candidates = [ROOT / name, *(ROOT.glob(f"*/{name}"))]
    return [path for path in candidates if path.is_dir()]


def matching(pattern: str) -> set[str]:
    """Names of the top cgroups, in any hierarchy, that the regular expression describes whole."""
    tops = [ROOT, *(path for path in ROOT.glob("*") if path.is_dir())]
    return {path.name for top in tops for path in top.glob("*/") if re.fullmatch(pattern, path.name)}


def members(name: str) -> set[int]:
    """Every process (pid) in the cgroup or below it."""
    found: set[int] = set()
    for top in directories(name):
        for path in _tree(top):
            with contextlib.suppress(OSError):
                found.update(int(line) for line in (path / "cgroup.procs").read_text(encoding="ascii").split())
    return found


def join(name: str, pid: int = 0) -> None:
    """Move a process (0: the caller) into the cgroup, which limits nothing; what it starts from then on is in it,
    too. OSError where no hierarchy can be written.
    """
    for place in _TRACKING:
        if (ROOT / place / "cgroup.procs").exists():
            directory = ROOT / place / name
            directory.mkdir(mode=0o755, exist_ok=True)
            (directory / "cgroup.procs").write_text(str(pid), encoding="ascii")
            return
    raise OSError(f"there is no cgroup hierarchy at {ROOT}")


def cpu_seconds(name: str) -> float:
    """Processor time used by the cgroup so far; 0 where nobody counts it."""
    for top in directories(name):
        with contextlib.suppress(OSError, ValueError, KeyError):
            lines = (top / "cpu.stat").read_text(encoding="ascii").splitlines()
            return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6
    return 0.0


def remove(name: str) -> None:
    """Remove the cgroup and everything below it, from every hierarchy. Its processes must have ended."""
    for top in directories(name):
        for path in _tree(top):
            _remove_when_empty(path)


def _tree(top: Path) -> list[Path]:
    """A cgroup and all below it, the lowest first; what a runtime takes away meanwhile is passed over."""
    return [Path(path) for path, _, _ in os.walk(top, topdown=False)]


def _remove_when_empty(path: Path) -> None:
    """rmdir, patient while the kernel still takes the last processes apart (EBUSY)."""
    deadline = time.monotonic() + REMOVE_DEADLINE
    while path.is_dir():
        try:
            path.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
