"""Whose process is that? By the executable and whole arguments, by cgroup, by namespace; never by a part of a text.

A person may look at a lab's files with any program, inside a node or outside: that makes it nobody's daemon. Pids
are used again, so a signal goes through a pidfd that was open when the process was found to be the wanted one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from apimachinery.kit.births import PROC, start_ticks

KILL_DEADLINE = 10.0
SUPERVISOR = "lab.supervisor_process"
FORK_SERVER = "lab.forkserver"
# Which option of which program says whose it is.
_CONFIG, _ADDRESS = "--config", "-address"
_ENTERING = ("nsenter", "setpriv")
_PACKAGES = ("agent", "cni", "controlplane", "lab", "netproxy")
Finder = Callable[[], set[int]]


def arguments(pid: int) -> tuple[str, ...]:
    """The process's arguments (its name first); empty when it has ended.

    What was forked has written its own over longer ones (`forkserver`): the zeros at the end are no arguments.
    """
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0")
    except OSError:
        return ()
    return tuple(os.fsdecode(raw).split("\0")) if raw else ()


def pids() -> Iterator[int]:
    """Every process."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def settings_of(pid: int) -> Path | None:
    """The file that makes a process somebody's daemon: containerd's or one of our daemons' configuration, a shim's
    containerd socket. None for every other process.
    """
    words = arguments(pid)
    if _CONFIG in words[:-1]:
        option = _CONFIG if _is_daemon(words, _executable(pid)) else ""
    elif _ADDRESS in words[:-1]:
        option = _ADDRESS if _executable(pid).startswith("containerd-shim-") else ""
    else:
        return None
    return Path(words[words.index(option) + 1]) if option else None


def _is_daemon(words: tuple[str, ...], executable: str) -> bool:
    if executable in _ENTERING and "--" in words:
        # On its way into a node: the program follows.
        words = words[len(words) - words[::-1].index("--") :]
        executable = Path(words[0]).name if words else ""
    if executable.startswith("python"):
        return words[1:2] == ("-m",) and words[2].partition(".")[0] in _PACKAGES and words[2] != "lab"
    return executable == "containerd"


def daemons_below(*directories: Path) -> set[int]:
    """Daemons and shims whose configuration or socket lies below one of the directories."""
    found = ((pid, settings_of(pid)) for pid in pids())
    return {pid for pid, file in found if file is not None and not set(directories).isdisjoint(file.parents)}


def daemons_of(file: Path) -> set[int]:
    """Daemons that were started with this settings file."""
    return {pid for pid in pids() if settings_of(pid) == file}


def supervisors(lab: str) -> set[int]:
    """Supervisors of the lab: one, unless something went wrong."""
    return _of_the_lab(SUPERVISOR, lab)


def fork_servers(lab: str) -> set[int]:
    """The process that the lab's daemons are forked from; it ends with its supervisor."""
    return _of_the_lab(FORK_SERVER, lab)


def _of_the_lab(module: str, lab: str) -> set[int]:
    wanted = ("-m", module, lab)
    return {pid for pid in pids() if arguments(pid)[1:4] == wanted and _executable(pid).startswith("python")}


def inside(candidates: set[int], kind: str, namespace: tuple[int, int] | None) -> set[int]:
    """Those of the candidates that are in the namespace (device, inode) of a kind: `net`, `mnt`."""
    return {pid for pid in candidates if namespace is not None and namespace_of(pid, kind) == namespace}


def namespace_of(pid: int, kind: str) -> tuple[int, int] | None:
    """(device, inode) of the namespace that the process is in; None when it has ended."""
    try:
        status = (PROC / str(pid) / "ns" / kind).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


async def kill(finders: Sequence[Finder]) -> set[int]:
    """SIGKILL what the finders find, again until they find nothing, for at most KILL_DEADLINE; returns what is left.

    This process itself is spared.
    """
    deadline = time.monotonic() + KILL_DEADLINE
    while found := _find(finders):
        if time.monotonic() > deadline:
            return found
        _kill_those_still_found(found, finders)
        await asyncio.sleep(0.02)
    return set()


def _find(finders: Sequence[Finder]) -> set[int]:
    return {pid for finder in finders for pid in finder() if start_ticks(pid)} - {os.getpid()}


def _kill_those_still_found(found: set[int], finders: Sequence[Finder]) -> None:
    held: dict[int, int] = {}
    try:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                held[pid] = os.pidfd_open(pid)
        for pid in _find(finders) & held.keys():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(held[pid], signal.SIGKILL)
    finally:
        for descriptor in held.values():
            os.close(descriptor)


def _executable(pid: int) -> str:
    """The file name of its executable, also when that was replaced since."""
    try:
        return (PROC / str(pid) / "exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        return ""
