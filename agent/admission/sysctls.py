"""Sysctls a pod may set: the safe ones, and those the node's settings add. Pure.

Source: https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/ .
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent import podspec
from agent.admission.model import NodeFacts, Refusal
from apimachinery.objects import Obj

# Namespaced and without effect on other pods, and the kernel since which they are so.
_SAFE: tuple[tuple[str, tuple[int, int]], ...] = (
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
)
_IPC = ("sem", "shm", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "msg", "msgmax", "msgmnb", "msgmni")
_IPC_NAMES = frozenset(f"kernel.{name}" for name in _IPC)
_PATTERN = re.compile(r"(?:[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?[./])*(?:[a-z0-9][-_a-z0-9]*)?[a-z0-9*]", re.ASCII)
_MAX_LENGTH = 253


class SysctlPatternError(ValueError):
    """A pattern of the node's settings is none, or names what the kernel does not keep per namespace."""


def allowed(kernel: str, unsafe: Iterable[str]) -> tuple[str, ...]:
    """The safe sysctls of this kernel (its release, "6.1.0-18-amd64") and the settings' own. Raises
    SysctlPatternError."""
    found = re.match(r"(\d+)\.(\d+)", kernel)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    own = tuple(podspec.sysctl_name(pattern) for pattern in unsafe)
    for pattern, said in zip(own, unsafe, strict=True):
        if len(said) > _MAX_LENGTH or not _PATTERN.fullmatch(said):
            raise SysctlPatternError(f"allowed_unsafe_sysctls: {said!r} is neither a sysctl nor a prefix ending in *")
        if not namespace(pattern.removesuffix("*")):
            raise SysctlPatternError(f"allowed_unsafe_sysctls: {said!r} is not known to be namespaced")
    return (*(name for name, since in _SAFE if version >= since), *own)


def namespace(name: str) -> str:
    """IPC or Net, empty for what the kernel keeps only once."""
    if name in _IPC_NAMES or name.startswith("fs.mqueue."):
        return "IPC"
    return "Net" if name.startswith("net.") else ""


def check(pod: Obj, facts: NodeFacts) -> Refusal | None:
    for name in podspec.sysctls(pod):
        if not any(_covers(pattern, name) for pattern in facts.sysctls):
            return _forbidden(f'"{name}" not allowlisted')
        kept = namespace(name)
        if (kept == "IPC" and podspec.host_ipc(pod)) or (kept == "Net" and podspec.host_network(pod)):
            return _forbidden(f'"{name}" not allowed with host {kept} enabled')
    return None


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _forbidden(why: str) -> Refusal:
    return Refusal("SysctlForbidden", f"forbidden sysctl: {why}")
