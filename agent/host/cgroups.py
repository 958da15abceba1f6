"""The cgroups above a pod's containers, made and removed with the cgroupfs driver.

`<root>/kubepods[/burstable|/besteffort]/pod<uid>`, in every controller of cgroup v1 or in the one tree
of v2. The runtime nests sandbox and containers below it. Blocking calls here are a handful of writes to a
memory file system.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from agent import podspec
from agent.cri.model import Limits
from agent.host.resources import PERIOD_US, pod_limits, pod_milli_cpu, shares
from apimachinery.objects import Obj
from apimachinery.pods.qos import BEST_EFFORT, BURSTABLE, qos_class

log = logging.getLogger(__name__)

KUBEPODS = "kubepods"
_QOS_DIRECTORY = {BURSTABLE: "burstable", BEST_EFFORT: "besteffort"}
_V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "systemd")
# The kernel lets go of a cgroup a moment after its last process.
_EMPTY_SECONDS = 1.0
_V2_CONTROLLERS = ("cpuset", "cpu", "memory", "pids", "hugetlb")


def qos_cgroup(root: str, quality: str) -> str:
    """`/kubepods/besteffort` below `root`; guaranteed pods sit in kubepods itself."""
    parts = [root.strip("/"), KUBEPODS, _QOS_DIRECTORY.get(quality, "")]
    return "/" + "/".join(part for part in parts if part)


def pod_cgroup(root: str, pod: Obj) -> str:
    return f"{qos_cgroup(root, qos_class(podspec.spec(pod)))}/pod{podspec.uid(pod)}"


@dataclass(frozen=True)
class Hierarchy:
    """Where the controllers are mounted."""

    unified: bool
    mounts: tuple[Path, ...]
    """Where pods get a cgroup."""
    all_mounts: tuple[Path, ...] = ()
    """Those and the controllers in which only the runtime makes one, to be cleaned all the same."""

    @classmethod
    def detect(cls, base: Path = Path("/sys/fs/cgroup")) -> Hierarchy:
        if (base / "cgroup.controllers").exists():
            return cls(True, (base,), (base,))
        found = []
        for name in _V1_CONTROLLERS:
            directory = base / name
            # cpu and cpuacct may be one mount behind two links.
            if directory.is_dir() and directory.resolve() not in found:
                found.append(directory.resolve())
        listed = {d.resolve() for d in base.iterdir() if (d / "cgroup.procs").exists()} if base.is_dir() else set()
        return cls(False, tuple(found), tuple(sorted(listed | set(found))))


class Cgroups:
    """`root`: the settings' cgroup_root."""

    def __init__(self, root: str, hierarchy: Hierarchy) -> None:
        self._root = root
        self._hierarchy = hierarchy
        self._ready: set[str] = set()
        self._burstable: dict[str, int] = {}
        """Pod uid → millicores asked for."""
        self._held: dict[str, Limits] = {}
        """Pod uid → what its cgroup is held to."""

    def weigh(self, pod: Obj, *, again: bool = False) -> None:
        """Count a pod that runs or is to run; `again`: it asks for something else now. The burstable class weighs what
        its pods ask for together: as one among the guaranteed pods' cgroups it would else have the kernel's default,
        whatever is in it."""
        uid = podspec.uid(pod)
        if (again or uid not in self._burstable) and qos_class(podspec.spec(pod)) == BURSTABLE:
            self._burstable[uid] = pod_milli_cpu(pod)
            self._weigh_burstable()

    def ensure_pod(self, pod: Obj) -> str:
        """The pod's cgroup, made with its limits; returns its path as CRI's cgroup_parent."""
        return self._hold(pod, pod_limits(pod))

    def widen_pod(self, pod: Obj) -> str:
        """The same while its containers change: it is held to no less than it is held to already nor to less than `pod`
        says. What shrinks is written after them, for no cgroup may have more than the one above it."""
        new = pod_limits(pod)
        # What an agent before this one held it to is not known.
        old = self._held.get(podspec.uid(pod), Limits(new.cpu_shares, cpu_quota=0, memory=0))
        wide = Limits(*(max(a, b) if i == 0 or (a and b) else 0 for i, (a, b) in enumerate(_pairs(old, new))))
        return self._hold(pod, wide)

    def _hold(self, pod: Obj, limits: Limits) -> str:
        path = pod_cgroup(self._root, pod)
        self._ensure_parents(path)
        for mount in self._hierarchy.mounts:
            self._make(mount, path)
        self._limit(path, limits)
        self._held[podspec.uid(pod)] = limits
        return path

    def pods(self) -> dict[str, str]:
        """Pod uid → cgroup path of every pod cgroup that exists below our root."""
        found = {}
        for quality in (BEST_EFFORT, BURSTABLE, ""):
            parent = qos_cgroup(self._root, quality)
            for mount in self._hierarchy.mounts:
                for directory in (mount / parent.strip("/")).glob("pod*"):
                    found[directory.name.removeprefix("pod")] = f"{parent}/{directory.name}"
        return found

    def remove_pod(self, uid: str) -> bool:
        """False while something still lives in it (or a controller is slow to let go): ask again."""
        self._held.pop(uid, None)
        if self._burstable.pop(uid, None) is not None:
            self._weigh_burstable()
        gone = True
        for quality in (BEST_EFFORT, BURSTABLE, ""):
            path = f"{qos_cgroup(self._root, quality)}/pod{uid}"
            for mount in self._hierarchy.all_mounts:
                gone = _remove_tree(mount / path.strip("/")) and gone
        return gone

    def remove_container(self, container_id: str) -> None:
        """End what runs in a container that nobody knows any more, and remove its cgroup. Blocks for a moment."""
        for quality in (BEST_EFFORT, BURSTABLE, ""):
            parent = qos_cgroup(self._root, quality).strip("/")
            for mount in self._hierarchy.all_mounts:
                for directory in (mount / parent).glob(f"pod*/{container_id}"):
                    _empty(directory)

    def end_pod(self, uid: str) -> None:
        """End what still runs in a pod's cgroup although the runtime holds nothing of it."""
        for quality in (BEST_EFFORT, BURSTABLE, ""):
            path = f"{qos_cgroup(self._root, quality)}/pod{uid}"
            for mount in self._hierarchy.all_mounts:
                _kill(mount / path.strip("/"))

    def remove_all(self) -> None:
        """The whole kubepods tree, where empty."""
        for mount in self._hierarchy.all_mounts:
            _remove_tree(mount / self._root.strip("/") / KUBEPODS)

    def _ensure_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent in self._ready:
            return
        parts = parent.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            step = "/" + "/".join(parts[:depth])
            for mount in self._hierarchy.mounts:
                self._make(mount, step)
        if parts[-1] == _QOS_DIRECTORY[BEST_EFFORT]:
            # Pods that ask for nothing get the least share there is.
            self._weigh_class(parent, 2)
        self._ready.add(parent)
        if parts[-1] == _QOS_DIRECTORY[BURSTABLE]:
            self._weigh_burstable()

    def _weigh_burstable(self) -> None:
        path = qos_cgroup(self._root, BURSTABLE)
        if any((mount / path.strip("/")).is_dir() for mount in self._hierarchy.mounts):
            self._weigh_class(path, shares(sum(self._burstable.values())))

    def _weigh_class(self, path: str, cpu_shares: int) -> None:
        """No pod waits for the weight of its class, as upstream's do not."""
        try:
            self._limit(path, Limits(cpu_shares, cpu_quota=0, memory=0))
        except OSError as error:
            log.warning("%s", error.strerror)

    def _make(self, mount: Path, path: str) -> None:
        directory = mount / path.strip("/")
        if self._hierarchy.unified:
            _delegate(directory.parent)
        if directory.is_dir():
            return
        directory.mkdir(parents=True, exist_ok=True)
        if mount.name == "cpuset":
            # A v1 cpuset is born empty and refuses processes until it has CPUs and memory nodes.
            for name in ("cpuset.cpus", "cpuset.mems"):
                with contextlib.suppress(OSError):
                    _write(directory / name, (directory.parent / name).read_text().strip())

    def _limit(self, path: str, limits: Limits) -> None:
        """Raises OSError where the kernel refuses."""
        relative = path.strip("/")
        if self._hierarchy.unified:
            base = self._hierarchy.mounts[0] / relative
            _set(base / "cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262142))
            quota = str(limits.cpu_quota) if limits.cpu_quota else "max"
            _set(base / "cpu.max", f"{quota} {PERIOD_US}")
            _set(base / "memory.max", str(limits.memory) if limits.memory else "max")
            return
        for mount in self._hierarchy.mounts:
            base = mount / relative
            # Each hierarchy has the files of its own controllers.
            _set(base / "cpu.shares", str(limits.cpu_shares))
            _set(base / "cpu.cfs_period_us", str(PERIOD_US))
            _set(base / "cpu.cfs_quota_us", str(limits.cpu_quota or -1))
            if limits.memory:
                _set(base / "memory.limit_in_bytes", str(limits.memory))


def _pairs(old: Limits, new: Limits) -> tuple[tuple[int, int], ...]:
    return (old.cpu_shares, new.cpu_shares), (old.cpu_quota, new.cpu_quota), (old.memory, new.memory)


def swap_counted(hierarchy: Hierarchy, own: Path = Path("/proc/self/cgroup")) -> bool:
    """Whether the memory controller limits swap too. Version 2 has the file in every cgroup but the root."""
    base = hierarchy.mounts[0] if hierarchy.unified else None
    if base is None:
        return any((mount / "memory.memsw.limit_in_bytes").exists() for mount in hierarchy.mounts)
    place = next((line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), "/")
    return (base / place.strip("/") / "memory.swap.max").exists()


def _delegate(directory: Path) -> None:
    """Enable in `directory` what its children need: before that, a controller's files do not exist in them."""
    with contextlib.suppress(OSError):
        there = (directory / "cgroup.controllers").read_text().split()
        wanted = [f"+{name}" for name in _V2_CONTROLLERS if name in there]
        control = directory / "cgroup.subtree_control"
        try:
            control.write_text(" ".join(wanted))
        except OSError:
            # One that cannot be had (cpu beside real-time processes) refuses them all.
            for each in wanted:
                _write(control, each)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        log.warning("cannot write %r to %s: %s", text, file, error.strerror)


def _set(file: Path, text: str) -> None:
    """Raises OSError that says what could not be written where. What no controller of the node has is left out."""
    if not file.exists():
        return
    try:
        file.write_text(text)
    except OSError as error:
        raise OSError(error.errno, f'failed to write "{text}" to {file}: {error.strerror}') from error


def _kill(directory: Path) -> None:
    """SIGKILL every process in the cgroup and below it; what a runtime takes away meanwhile is passed over."""
    for path, _, _ in os.walk(directory):
        with contextlib.suppress(OSError):
            for pid in Path(path, "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def _empty(directory: Path) -> None:
    _kill(directory)
    deadline = time.monotonic() + _EMPTY_SECONDS
    while not _remove_tree(directory) and time.monotonic() < deadline:
        time.sleep(0.02)
        _kill(directory)


def _remove_tree(directory: Path) -> bool:
    """Whether it is gone. Most often there is nothing below, or nothing at all: one call then says so."""
    if _remove(directory):
        return True
    with contextlib.suppress(FileNotFoundError):
        for child in directory.iterdir():
            if child.is_dir():
                _remove_tree(child)
    return _remove(directory)


def _remove(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            log.warning("cannot remove cgroup %s: %s", directory, error.strerror)
        return False
    return True
