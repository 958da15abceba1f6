"""What labs change on the machine itself, for all of them together: remembered before the first, undone after the last.

Everything else that a lab makes carries its name. Fixed in other programs, and so the machine's: whether it forwards,
how many neighbours it may know, the directory of network namespaces, and two directories in which each node has a place
of its own (`node_places`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from apimachinery.kit import mounts, netns
from apimachinery.kit.files import write_atomic
from lab import neighbours, state
from lab import paths as places

FORWARD = "net.ipv4.ip_forward"
_SETTINGS = Path("/proc/sys/net")
SHIMS = Path("/run/containerd")
"""Where shims keep their sockets, whatever containerd's own directories are."""
CNI_RESULTS = Path("/var/lib/cni")
"""Where libcni keeps what plugins answered, for containerd."""


def prepare() -> None:
    """Write down what was before, once, however many labs follow; then make room for them."""
    if not _memory().exists():
        before = {
            "forwarding": _forwarding(),
            "names shared": mounts.stacked(netns.DIRECTORY) > 0,
            "directories": [str(path) for path in _DIRECTORIES if path.is_dir()],
        }
        write_atomic(_memory(), json.dumps(before).encode())
    for directory in (SHIMS, CNI_RESULTS):
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    neighbours.make_room(neighbours.of_labs())


def restore() -> None:
    """Undo it all, unless a lab is left. A memory that is damaged leaves the machine as it is."""
    with state.choosing():
        if state.labs() or not _memory().exists():
            return
        with contextlib.suppress(ValueError, KeyError, TypeError):
            before = json.loads(_memory().read_text(encoding="ascii"))
            _forward_as(before["forwarding"])
            if before["names shared"] is False:
                netns.release()
            for path in _DIRECTORIES:
                if str(path) not in before["directories"]:
                    with contextlib.suppress(OSError):
                        path.rmdir()
        neighbours.put_back(neighbours.of_labs(), neighbours.of_tests())
        # Last: whoever is killed before leaves it all to the next.
        _memory().unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            places.RUN.rmdir()


def _forwarding() -> dict[str, str]:
    """Whether packets are forwarded, in general and for each link, of IPv4 and IPv6: by the setting's name."""
    found = {FORWARD: netns.read_sysctl(None, FORWARD)}
    for family in ("ipv4", "ipv6"):
        for setting in sorted(_SETTINGS.glob(f"{family}/conf/*/forwarding")):
            name = f"net.{family}.conf.{setting.parent.name.replace('.', '/')}.forwarding"
            with contextlib.suppress(OSError):
                found[name] = netns.read_sysctl(None, name)
    return found


def _forward_as(before: Mapping[str, str]) -> None:
    """What is said in general sets every link, so the links come after it; one that is gone has no setting."""
    for name in sorted(before, key=lambda each: (each != FORWARD, ".conf.all." not in each)):
        with contextlib.suppress(FileNotFoundError):
            netns.write_sysctl(None, name, str(int(before[name])))


# Deepest first. Whoever put something there keeps it.
_DIRECTORIES = (SHIMS / "s", SHIMS / "fifo", SHIMS, CNI_RESULTS / "results", CNI_RESULTS, netns.DIRECTORY)


def _memory() -> Path:
    return places.RUN / "host.json"
