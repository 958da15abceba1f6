"""Kernel modules that nothing asks for by itself; the others load when their feature is first used."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from apimachinery.kit import command, netns

DEADLINE = 30.0
_FILE_SYSTEMS = Path("/proc/filesystems")
_BRIDGE = Path("/proc/sys/net/bridge")


async def load() -> None:
    """Load what is absent. Where that fails, preflight says what is missing."""
    if "overlay" not in _FILE_SYSTEMS.read_text(encoding="ascii"):
        await _modprobe("overlay")
    if not _BRIDGE.exists():
        await _modprobe("br_netfilter")
        _spare_host_bridges()


def _spare_host_bridges() -> None:
    """Nodes switch bridge-nf-call on in their own namespaces; the host's bridges (of VMs, of Docker) pass their
    frames as before, where the module's arrival would send them through the firewall."""
    for name in ("iptables", "ip6tables", "arptables"):
        if (_BRIDGE / f"bridge-nf-call-{name}").exists():
            netns.write_sysctl(None, f"net.bridge.bridge-nf-call-{name}", 0)


async def _modprobe(module: str) -> None:
    if shutil.which("modprobe"):
        with contextlib.suppress(command.CommandError):
            await command.run(["modprobe", "-q", module], timeout=DEADLINE, check=False)
