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
import stat
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
# Empty inside, and in memory: temporary files, and state of labs and of whatever containerd is started.
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))
_OWN = {
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
    for directory in _TEMPORARY:
        if not _needed(directory):
            mounts.mount("tmpfs", directory, "tmpfs", options="mode=1777")
    for parent in {directory.parent for directory in _OWN}:
        _own_directories(parent)
    HOME.mkdir(parents=True, exist_ok=True)
    with Netlink() as kernel:
        kernel.do(links.change("lo", up=True))


def _own_directories(parent: Path) -> None:
    """Directories of our own in `parent`, whose other entries stay the machine's. `parent` is in memory, and not its
    directories one by one: the kernel takes a mount away when somebody removes the directory below it, and a lab's
    `down` on the machine removes its own.
    """
    own = {path: mode for path, mode in _OWN.items() if path.parent == parent and not _needed(path)}
    found = {path: os.open(path, os.O_PATH | os.O_NOFOLLOW) for path in parent.iterdir() if path not in own}
    mounts.mount("tmpfs", parent, "tmpfs", options="mode=755")
    for path, descriptor in found.items():
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(kind):
            path.symlink_to(os.readlink("", dir_fd=descriptor))
        else:
            path.mkdir() if stat.S_ISDIR(kind) else path.touch()
            mounts.mount(f"/proc/self/fd/{descriptor}", path, flags=mounts.MS_BIND | mounts.MS_REC)
        os.close(descriptor)
    for path, mode in own.items():
        path.mkdir()
        path.chmod(mode)


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
