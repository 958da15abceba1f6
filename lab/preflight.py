"""Is this machine able to hold a lab? Each check says what is missing, what it costs and how to mend it."""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import command, netns, wireguard
from apimachinery.kit.netlink import End, Netlink, NetlinkError, Tunnel, vxlan
from lab import paths as places
from lab.spec import Spec

MEGABYTE = 1 << 20
# The first probe may load the kernel's modules, which on a slow machine (an emulated one) takes long.
PROBE_DEADLINE = 120.0
DISK_NEEDED = 500 * MEGABYTE


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; `fatal` ones stop the command."""

    text: str
    fatal: bool = True


class PreflightError(Exception):
    """The machine cannot hold the lab; the message lists every reason."""


async def check(spec: Spec) -> list[Finding]:
    """Look at everything before anything is changed. Raises PreflightError; returns what is only a pity."""
    findings = [finding for probe in _PROBES for finding in probe(spec)]
    if not any(finding.fatal for finding in findings):
        findings += await _rules(spec)
    fatal = [finding.text for finding in findings if finding.fatal]
    if fatal:
        raise PreflightError("\n".join(fatal))
    return findings


async def of_kernel(spec: Spec) -> list[Finding]:
    """What the kernel lacks, wherever the daemons run."""
    return [*_kernel(spec), *await _rules(spec)]


def require_root() -> None:
    """Raises PreflightError for anyone else."""
    if os.geteuid() != 0:
        raise PreflightError("this needs root: run it again with sudo")


def _programs(spec: Spec) -> list[Finding]:
    if spec.store == "etcd" and shutil.which("etcd") is None:
        return [Finding("etcd is missing, in which this lab is to keep everything; apt-get install etcd-server")]
    needed = ("containerd", "containerd-shim-runc-v2", "runc", "ctr", "nft", "nsenter", "perl")
    missing = [name for name in needed if shutil.which(name) is None]
    if not missing:
        return []
    return [Finding(f"programs are missing: {', '.join(missing)}; apt-get install containerd runc nftables perl-base")]


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
        if spec.network_policy:
            text += ", and NetworkPolicies do not part pods of one node"
        findings.append(Finding(text + "; modprobe br_netfilter", fatal=False))
    overlay = "overlay" in Path("/proc/filesystems").read_text(encoding="ascii")
    if not overlay:
        findings.append(Finding("the kernel has no overlay file system: modprobe overlay"))
    if not any((Path("/sys/fs/cgroup") / name).exists() for name in ("cgroup.controllers", "memory", "pids")):
        findings.append(Finding("no cgroups at /sys/fs/cgroup: mount cgroup2 there"))
    return findings


async def _rules(spec: Spec) -> list[Finding]:
    """Ask the kernel for what the lab's rules need, in a transaction that is only checked (nft -c)."""
    findings = []
    text = _NFT_NEEDED.encode()
    asked = await command.run(["nft", "-c", "-f", "-"], stdin=text, timeout=PROBE_DEADLINE, check=False)
    if asked.returncode:
        reason = asked.stderr.decode(errors="replace").strip().splitlines()[:1]
        if asked.returncode < 0:
            reason = [f"nft was ended by signal {-asked.returncode}"]
        problem = f"nftables cannot do what a lab needs here ({''.join(reason)})"
        findings.append(Finding(problem + "; Linux 5.13 or newer with nf_tables, and nftables 1.0.1 or newer"))
    return [*findings, *await mode_findings(spec.proxy_mode), *network_findings(spec.pod_network)]


async def mode_findings(mode: str) -> list[Finding]:
    """What a proxy mode lacks here."""
    if mode == "iptables":
        asked = await command.run(["iptables", "-w", "5", "-t", "nat", "-S"], timeout=PROBE_DEADLINE, check=False)
        if asked.returncode:
            reason = asked.stderr.decode(errors="replace").strip().splitlines()[:1]
            hint = "modprobe iptable_nat, or leave out --proxy-mode iptables"
            return [Finding(f"iptables has no nat table here ({''.join(reason)}): {hint}")]
    if mode == "ipvs":
        # Each command loads this module for its errors' sake, and hardly one the proxy's.
        from netproxy.ipvs import host as ipvs

        if lacks := await ipvs.missing():
            return [Finding(f"ipvs cannot be had here: {lacks}; or leave out --proxy-mode ipvs")]
    return []


def network_findings(mode: str) -> list[Finding]:
    """What a pod network lacks here."""
    if mode not in _DEVICES:
        return []

    def probe() -> None:
        with Netlink() as kernel:
            kernel.do(_DEVICES[mode])

    try:
        netns.apart(probe)
    except NetlinkError as refused:
        hint = f"modprobe {mode}, or leave out --pod-network {mode}"
        return [Finding(f"the kernel has no {mode} ({refused.strerror}): {hint}")]
    return []


# What a pod network needs of the kernel.
_DEVICES = {
    "vxlan": vxlan.add(End("probe"), Tunnel(1, vxlan.PORT, ipaddress.IPv4Address("127.0.0.1"))),
    "wireguard": wireguard.add(End("probe")),
}

# What uplink and netproxy write, in small: maps by address, protocol and port, NAT, conntrack, random choice.
_NFT_NEEDED = """\
table ip whtprobe {
  map a { typeof ip daddr . tcp dport . meta priority : ip daddr . tcp dport; }
  map b { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain before { type nat hook prerouting priority -100; ip daddr . meta l4proto . th dport vmap @b; }
  chain pick { meta priority set numgen random mod 2 dnat ip to ip daddr . tcp dport . meta priority map @a; }
  chain after { type nat hook postrouting priority 100; ct mark 1 masquerade; }
  chain refuse { type filter hook forward priority 0; ct state new reject; }
}
"""

_PROBES: tuple[Callable[[Spec], list[Finding]], ...] = (_programs, _disk, _address, _kernel)
