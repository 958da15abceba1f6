"""Is this machine able to hold a lab? Each check says what is missing, what it costs and how to mend it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import paths as places
from lab.spec import Spec

MEGABYTE = 1 << 20
DISK_NEEDED = 500 * MEGABYTE


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; ``fatal`` ones stop the command."""

    text: str
    fatal: bool = True


class PreflightError(Exception):
    """The machine cannot hold the lab; the message lists every reason."""


def check(spec: Spec) -> list[Finding]:
    """Look at everything before anything is changed. Raises PreflightError; returns what is only a pity."""
    findings = [finding for probe in _PROBES for finding in probe(spec)]
    fatal = [finding.text for finding in findings if finding.fatal]
    if fatal:
        raise PreflightError("\n".join(fatal))
    return findings


def require_root() -> None:
    """Raises PreflightError for anyone else."""
    if os.geteuid() != 0:
        raise PreflightError("this needs root: run it again with sudo")


def _programs(_spec: Spec) -> list[Finding]:
    needed = ("containerd", "containerd-shim-runc-v2", "runc", "ctr", "nft", "nsenter")
    missing = [name for name in needed if shutil.which(name) is None]
    if not missing:
        return []
    return [Finding(f"programs are missing: {', '.join(missing)}; apt-get install containerd runc nftables")]


def _disk(_spec: Spec) -> list[Finding]:
    parent = places.STATE if places.STATE.is_dir() else places.STATE.parent
    free = shutil.disk_usage(parent).free
    if free >= DISK_NEEDED:
        return []
    text = f"{parent} has {free // MEGABYTE} MB free; a lab needs {DISK_NEEDED // MEGABYTE}: free some space"
    return [Finding(text)]


def _address(spec: Spec) -> list[Finding]:
    """The API server's port must be free; while the bridge is not there, nothing can hold it but a wildcard."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: the address comes later
            probe.bind((spec.gateway, spec.api_port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"port {spec.api_port} is taken on every address; give the API server another: --api-port"
                return [Finding(text)]
    return []


def _kernel(spec: Spec) -> list[Finding]:
    findings = []
    if not Path("/proc/sys/net/ipv4/ip_forward").exists() or not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        findings.append(Finding("net.ipv4.ip_forward cannot be set here: nodes would be cut off; need CAP_NET_ADMIN"))
    if not Path("/proc/sys/net/bridge").exists():
        text = "br_netfilter is not loaded: a pod reaching itself or a neighbour through a VIP gets no answer"
        findings.append(Finding(text + "; modprobe br_netfilter", fatal=False))
    overlay = "overlay" in Path("/proc/filesystems").read_text(encoding="ascii")
    if not overlay:
        findings.append(Finding("the kernel has no overlay file system: modprobe overlay"))
    if not any((Path("/sys/fs/cgroup") / name).exists() for name in ("cgroup.controllers", "memory", "pids")):
        findings.append(Finding("no cgroups at /sys/fs/cgroup: mount cgroup2 there"))
    return findings


_PROBES: tuple[Callable[[Spec], list[Finding]], ...] = (_programs, _disk, _address, _kernel)
