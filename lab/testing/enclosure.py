"""A machine of its own for one command: network, processes, mounts, cgroups, and the directories that labs use.

    python -m lab.testing.enclosure NAME COMMAND...

Whatever the command starts or makes ends with it, also when it is killed: processes with their namespace, files in
memory with their mounts, links and rules with the network. Only empty cgroups stay, below the one called NAME. What it
does not see of the machine are other networks (there is `lo`, no more) and the labs on it; the checkout, its
environment and the system's files are the machine's own.

Sources: unshare(1), pid_namespaces(7), cgroup_namespaces(7), mount_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from apimachinery.kit import mounts
from apimachinery.kit.netlink import Netlink, links
from lab import clean
from lab.paths import RUN, STATE
from lab.testing import hierarchies

_PR_SET_PDEATHSIG = 1
_INSIDE = "--inside"
_SOURCE = Path(__file__).resolve().parent.parent.parent
# Empty inside, and in memory: state of labs and of whatever containerd is started, temporary files.
_OWN = {
    Path("/tmp"): 0o1777,
    Path("/var/tmp"): 0o1777,
    STATE: 0o755,
    Path("/var/lib/containerd"): 0o711,
    Path("/var/lib/cni"): 0o755,
}
HOME = Path("/var/lib/cni/home")
"""Of whoever runs inside: nobody's of the machine."""
_RESOLVER = Path("/etc/resolv.conf")


def argv(name: str, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` enclosed, in the cgroup `name`."""
    return [sys.executable, "-m", "lab.testing.enclosure", name, *command]


def enter(name: str, command: Sequence[str]) -> None:
    """Become the enclosure's outermost process; it ends with the process that started it. Does not return."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    hierarchies.confine(name)
    namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child"]
    inside = [sys.executable, "-m", "lab.testing.enclosure", _INSIDE, *command]
    os.execvp("unshare", ["unshare", *namespaces, "--propagation", "private", *inside])


def live(command: list[str]) -> int:
    """Be the first process inside: arrange the machine, run the command, and reap whoever loses a parent. The command's
    exit status; what it has started ends with this process.
    """
    arrange()
    child = os.posix_spawnp(command[0], command, _environment())
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def arrange() -> None:
    """Give this mount and network namespace the look of a machine on which nothing runs yet."""
    hierarchies.mount_anew()
    _own_run()
    for directory, mode in _OWN.items():
        if not _needed(directory):
            directory.mkdir(parents=True, exist_ok=True)
            mounts.mount("tmpfs", directory, "tmpfs", options=f"mode={mode:o}")
    HOME.mkdir(parents=True, exist_ok=True)
    with Netlink() as kernel:
        kernel.do(links.change("lo", up=True))


def _own_run() -> None:
    """An empty /run; the resolver's file is kept where /etc/resolv.conf leads into it."""
    resolver = _RESOLVER.resolve()
    text = b""
    with contextlib.suppress(OSError):
        text = resolver.read_bytes()
    directory = RUN.parent
    clean.unmount_below(directory)
    mounts.mount("tmpfs", directory, "tmpfs", options="mode=755")
    (directory / "lock").mkdir()
    if resolver.is_relative_to(directory):
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.write_bytes(text)


def _needed(directory: Path) -> bool:
    """Whether what runs here lies below the directory, which must then stay as it is."""
    return any(Path(place).resolve().is_relative_to(directory) for place in (_SOURCE, sys.prefix, sys.base_prefix))


def _environment() -> dict[str, str]:
    """Without the person: a lab's kubeconfig is merged into nobody's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
    return {**kept, "HOME": str(HOME)}


if __name__ == "__main__":
    if sys.argv[1] == _INSIDE:
        sys.exit(live(sys.argv[2:]))
    enter(sys.argv[1], sys.argv[2:])
