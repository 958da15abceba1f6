"""What a plugin may touch: the node's kernel, and two jobs that differ between daemon and lone executable."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, NetlinkError, links

# Links that left their pod and wait to be freed. The kernel makes each deletion wait 16 ms for its readers
# but a whole group only once, so a pod's end is taken out of service first (0.2 ms) and freed with its
# fellows.
RETIRED_GROUP = 0x77686E


@dataclass(frozen=True)
class Host:
    """`kernel` is open in the node's namespace. `free_retired` deletes RETIRED_GROUP, now or soon. `run_dir` is the
    daemon's, None without one."""

    kernel: Netlink
    free_retired: Callable[[], None]
    run_dir: Path | None = None


def be_no_host(link: str) -> None:
    """Routers that a pod could play are none of the node's. While the link's own link-local address were still looked
    for on other links, the node could not ask for pods' MACs by it: for seconds none would be reached from elsewhere.
    """
    for setting in ("accept_ra", "accept_dad"):
        with contextlib.suppress(FileNotFoundError):
            netns.write_sysctl(None, f"net.ipv6.conf.{link.replace('.', '/')}.{setting}", 0)


def retire(kernel: Netlink, index: int) -> str:
    """Take a link out of service at once: down, out of its bridge, its name free; returns the name it has until it is
    freed (`Host.free_retired`). Raises NetlinkError.
    """
    name = "gone" + os.urandom(5).hex()
    set_aside(kernel, index, name, master=0, group=RETIRED_GROUP)
    return name


def set_aside(kernel: Netlink, index: int, name: str, master: int | None = None, group: int | None = None) -> None:
    """Down and under another name, in one request: each waits for the kernel's one lock over network configuration."""
    try:
        kernel.do(links.change(index, up=False, name=name, master=master, group=group))
    except NetlinkError as refused:
        if refused.errno != errno.EBUSY:
            raise
        # Before Linux 6.2 only what is down already can be renamed.
        kernel.do(links.change(index, up=False, master=master, group=group), links.change(index, name=name))


def free_retired_now(kernel: Netlink) -> None:
    kernel.do(links.delete_group(RETIRED_GROUP))


def alone() -> Host:
    """The host as an executable without a daemon sees it."""
    kernel = Netlink()
    return Host(kernel, lambda: free_retired_now(kernel))


def same_namespace(path: str) -> bool:
    return netns.identity(Path(path)) == netns.identity()
