"""The directory of a volume, on the disk or in memory: made once, later its users' own permissions count."""

from __future__ import annotations

import os

from agent.volumes import ownership
from agent.volumes.plugin import VolumePlan
from apimachinery.kit import mounts

# Any container's user may write into an emptyDir, as upstream's.
_VOLUME_MODE = 0o777
_TMPFS_MODE = 0o1777


def make_directory(plan: VolumePlan, group: int | None, *, read_only: bool) -> None:
    """Make the volume's directory, or mount its tmpfs, where there is none yet; `group` owns it. Raises OSError."""
    path = plan.path
    assert path is not None
    if plan.memory:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        if os.path.ismount(path):
            return
        options = [f"size={plan.size}"] if plan.size else []
        options.append(f"mode={_TMPFS_MODE:o}")
        mounts.mount("tmpfs", path, "tmpfs", options=",".join(options))
        if group is not None:
            ownership.own(path, group, read_only)
    elif not path.exists():
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # Under another name until it is right: a directory that exists is taken to be ready.
        making = path.with_name(f"..{plan.name}.new")
        making.mkdir(exist_ok=True)
        making.chmod(_VOLUME_MODE)
        if group is not None:
            ownership.own(making, group, read_only)
        making.rename(path)
