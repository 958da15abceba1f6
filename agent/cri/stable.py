"""A runtime's error text without what differs from one attempt to the next. Pure.

A container that cannot start fails again and again with the same cause, but the runtime names the sandbox's id, the
shim's process, a temporary directory. Text that differs each time is a new status and a new event each time, and a
status that is written comes back by the watch: the component wakes itself. So this is done once, where errors enter
(`agent.cri.errors`); what names an image (a digest) or the pod (its uid) is the same each time and stays.
"""

from __future__ import annotations

import re

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # The name a container or sandbox reserves ends in its attempt: "c_pod_namespace_uid_3".
        (r"(\w_[a-z0-9.-]+_[a-z0-9.-]+_[0-9a-zA-Z-]+_)\d+\b", r"\1<attempt>"),
        # Ids of containers, sandboxes, exec sessions: 64 hexadecimal digits, unless they are a digest.
        (r"(?<![0-9a-fA-F:])[0-9a-f]{64}(?![0-9a-fA-F])", "<id>"),
        # The network namespace, and both ends of a veth.
        (r"\bcni-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "cni-<id>"),
        (r"\bveth[0-9a-f]{8}\b", "veth<id>"),
        # The file a container leaves its last words in: "…/containers/NAME/8 digits".
        (r"(/containers/[^/\s\"']+/)[0-9a-f]{8}\b", r"\1<id>"),
        (r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d| \+\d{4} UTC)?", "<time>"),
        (r"/proc/\d+", "/proc/<pid>"),
        (r"\b([Pp][Ii][Dd][:= ]+)\d+", r"\1<pid>"),
        (r"\b(process )\d+\b", r"\1<pid>"),
        # Temporary files and directories of runc, containerd and Go, snapshots, named pipes.
        (r"\b(runc-process|containerd-mount|ctd-volume|containerd-)\d+", r"\1<n>"),
        (r"(/(?:snapshots|fifo|fd)/)\d+", r"\1<n>"),
        (r"(/tmp/[A-Za-z._-]*)\d{4,}", r"\1<n>"),
        # Our end of a connection: "read udp 10.0.0.5:41234->10.0.0.1:53".
        (r":\d+->", ":<port>->"),
    )
)


def stable(text: str) -> str:
    """`text` with placeholders (`<id>`, `<pid>`, `<time>`, …) for what only one attempt has."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
