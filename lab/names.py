"""Every name that a lab puts into the kernel, and so what a lab is found and cleared away by. All follow from the
lab's name alone: files that describe it may be damaged.
"""

from __future__ import annotations

import hashlib
import re
import zlib

DEFAULT_LAB = "lab"
MACHINE = "machine"
"""Where a machine's own control plane and node keep their files (`lab/standalone`): no lab's name."""
LAB_NAME_LIMIT = 32
"""A socket's path holds 107 characters, and containerd adds to the lab's."""
MAX_NODES = 10
NODES = tuple(f"node{index}" for index in range(1, MAX_NODES + 1))
"""Every name a node can have."""

UPLINK = "eth0"
"""The node's only interface, inside its namespace."""

# A link's name holds 15 characters: `wh-`, this many for the lab, `-` and two digits of a node.
_LINK_LIMIT = 9
UNMARKED_FENCE = 4_000_000_000
"""The metric of a fence before each lab had one of its own. The last resort among routes: any real route to part of a
range is longer or has a smaller metric.
"""
_FENCE_METRICS = 200_000_000


def link_part(lab: str) -> str:
    """The lab in the name of a link: its name, or where that is too long or would read as another's, how it begins
    and a hash, joined by an underscore, which no lab's name has. `ip -d link` shows the whole name as the alias.
    """
    if len(lab) <= _LINK_LIMIT and lab.isalnum():
        return lab
    return f"{lab[:4]}_{hashlib.sha256(lab.encode()).hexdigest()[:4]}"


def bridge(lab: str) -> str:
    """The host's bridge that joins the lab's nodes."""
    return f"wh-{link_part(lab)}"


def port(lab: str, index: int) -> str:
    """The host's end of node `index`'s link."""
    return f"wh-{link_part(lab)}-{index}"


def namespace(lab: str, node: str) -> str:
    """The node's network namespace, under /run/netns."""
    return f"wherry-{lab}-{node}"


def daemons(lab: str) -> str:
    """The cgroup of everything that the lab's supervisor started."""
    return f"wherry-{lab}"


def cgroup(lab: str, node: str) -> str:
    """The node's cgroup, in each controller; pods live below it."""
    return f"wherry-{lab}-{node}"


def lab_of_cgroup(name: str) -> str:
    """The lab whose daemons or node this cgroup holds; "" when it is no lab's."""
    found = re.fullmatch(r"wherry-(.+?)(-node\d+)?", name)
    return found[1] if found else ""


def table(lab: str) -> str:
    """The host's nftables table that lets the lab's nodes out."""
    return f"wherry-{lab}"


def proxy_table(lab: str) -> str:
    """The table of the netproxy that serves the host itself."""
    return f"wherry-{lab}-proxy"


def fence_metric(lab: str) -> int:
    """The metric by which the lab's unreachable routes are told from other labs'."""
    return UNMARKED_FENCE + 1 + zlib.crc32(lab.encode()) % _FENCE_METRICS


def context(lab: str) -> str:
    """The kubeconfig context: `wherry` for the usual lab, `wherry-NAME` for others."""
    return "wherry" if lab == DEFAULT_LAB else f"wherry-{lab}"


def problem(lab: str) -> str:
    """Why this cannot be a lab's name; "" when it can."""
    if not re.fullmatch(rf"[a-z]([a-z0-9-]{{0,{LAB_NAME_LIMIT - 2}}}[a-z0-9])?", lab):
        return f"a small letter, then letters, digits and hyphens, no hyphen last, at most {LAB_NAME_LIMIT} in all"
    if lab == MACHINE:
        return "what is installed on a machine of its own keeps its files there"
    if re.search(r"-(proxy|guard|node\d+)$", lab):
        return "what ends in -proxy, -guard or -nodeN names a part of another lab"
    return ""
