"""Taking away what a node leaves in the file system: mounts, and what containerd keeps outside of its directories.

Nothing here asks a daemon: it must work when every daemon of the node is dead.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from apimachinery.kit import files, mounts

# Fixed in containerd and libcni, so the nodes of a lab and the machine's own containerd share them.
SHIM_SOCKETS = Path("/run/containerd/s")
CNI_RESULTS = Path("/var/lib/cni/results")
_SOCKET = re.compile(rf"unix://({re.escape(str(SHIM_SOCKETS))}/[0-9a-f]+)")


def forget_containers(root: Path, state: Path) -> None:
    """Remove what containerd (its `root` and `state` directories are given) keeps elsewhere for containers that
    were killed: the sockets of their shims and libcni's results. A node has its own place for both (`node`); not so
    one made before, nor a containerd that a test started outside of any node.
    """
    for file in (*state.glob("*.task/*/*/address"), *state.glob("*.task/*/*/bootstrap.json")):
        with contextlib.suppress(OSError):
            for path in _SOCKET.findall(file.read_text(encoding="utf-8")):
                Path(path).unlink(missing_ok=True)
    sandboxes = {path.name for path in root.glob("*/sandboxes/*")}
    for result in CNI_RESULTS.glob("*") if sandboxes else ():
        if sandboxes & set(result.name.split("-")):
            result.unlink(missing_ok=True)


def unmount_below(directory: Path) -> None:
    """Unmount everything at or below `directory`."""
    for point in mounts.mount_points(directory):
        mounts.unmount(point)


def remove_tree(directory: Path) -> None:
    """Delete a directory, but never through a mount: raises OSError when one is left below it."""
    unmount_below(directory)
    left = mounts.mount_points(directory)
    if left:
        raise OSError(f"{left[0]} is still mounted; unmount it, then run the command again")
    if directory.is_dir() and not directory.is_symlink():
        files.remove_tree(directory)
    else:
        directory.unlink(missing_ok=True)
