"""The cgroup tree as an enclosure has it: its own cgroup is the root, in every hierarchy, v1 and v2.

Sources: cgroups(7), cgroup_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from apimachinery.kit import mounts
from lab.cgroups import ROOT

_CLONE_NEWCGROUP = 0x02000000
_LEAF = "init"
_libc = ctypes.CDLL(None, use_errno=True)


def confine(name: str) -> None:
    """Have the calling process in the cgroup `name` of every hierarchy, which from then on is all that it sees of it.
    The mounts are still the machine's until `mount_anew`.
    """
    tops = {file.parent.resolve() for file in (ROOT / "cgroup.procs", *ROOT.glob("*/cgroup.procs")) if file.exists()}
    for top in tops:
        _join(top, top / name)
    if _libc.unshare(_CLONE_NEWCGROUP) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot unshare the cgroup namespace: {os.strerror(code)}")
    for top in tops:
        # In v2 a cgroup that hands controllers down may hold no process itself.
        if (top / name / "cgroup.controllers").exists():
            _join(top / name, top / name / _LEAF)


def _join(above: Path, directory: Path) -> None:
    directory.mkdir(mode=0o755, exist_ok=True)
    if (directory / "cgroup.clone_children").exists():
        # v1 lets nobody into a set without processors and memory.
        (directory / "cgroup.clone_children").write_text("1", encoding="ascii")
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (directory / file).exists():
                (directory / file).write_text((above / file).read_text(encoding="ascii"), encoding="ascii")
    (directory / "cgroup.procs").write_text("0", encoding="ascii")


def mount_anew() -> None:
    """Mount every hierarchy once more where it is, as this cgroup namespace sees it. Needs a mount namespace of its
    own.
    """
    found, links = _mounted(), {path: path.readlink() for path in ROOT.iterdir() if path.is_symlink()}
    for path in mounts.mount_points(ROOT):
        mounts.unmount(path)
    if ROOT not in found:
        mounts.mount("cgroup", ROOT, "tmpfs", options="mode=755")
    for path, (kind, options) in sorted(found.items()):
        path.mkdir(exist_ok=True)
        mounts.mount(kind, path, kind, options=options)
    for link, target in links.items():
        link.symlink_to(target)


def _mounted() -> dict[Path, tuple[str, str]]:
    """Mount point → kind of file system and options of each hierarchy below ROOT (proc(5) on mountinfo)."""
    controllers = {line.split()[0] for line in Path("/proc/cgroups").read_text(encoding="ascii").splitlines()[1:]}
    found: dict[Path, tuple[str, str]] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point, (kind, _, told) = Path(line.split(" ")[4]), line.rpartition(" - ")[2].split(" ")
        if point.is_relative_to(ROOT) and kind in ("cgroup", "cgroup2"):
            wanted = [each for each in told.split(",") if each in controllers or each.startswith("name=")]
            # A hierarchy that only has a name says that it has no controller.
            found[point] = (kind, ",".join(["none", *wanted] if wanted and wanted[0].startswith("name=") else wanted))
    return found
