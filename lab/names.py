"""Every name that a lab puts into the kernel. A link's name holds 15 characters; hence the lab's limit."""

from __future__ import annotations

LAB_NAME_LIMIT = 9
"""``wh-`` + lab + ``-`` + two digits of a node fit into a link's name."""

UPLINK = "eth0"
"""The node's only interface, inside its namespace."""


def bridge(lab: str) -> str:
    """The host's bridge that joins the lab's nodes."""
    return f"wh-{lab}"


def port(lab: str, index: int) -> str:
    """The host's end of node ``index``'s link."""
    return f"wh-{lab}-{index}"


def namespace(lab: str, node: str) -> str:
    """The node's network namespace, under /run/netns."""
    return f"wherry-{lab}-{node}"


def cgroup(lab: str, node: str) -> str:
    """The node's cgroup, in each controller; pods live below it."""
    return f"wherry-{lab}-{node}"


def table(lab: str) -> str:
    """The host's nftables table that lets the lab's nodes out."""
    return f"wherry-{lab}"


def proxy_table(lab: str) -> str:
    """The table of the netproxy that serves the host itself."""
    return f"wherry-{lab}-proxy"


def context(lab: str) -> str:
    """The kubeconfig context: ``wherry`` for the usual lab, ``wherry-NAME`` for others."""
    return "wherry" if lab == DEFAULT_LAB else f"wherry-{lab}"


DEFAULT_LAB = "lab"
