"""Puts the executables and the network configuration where the runtime looks, whole or not at all.

Foreign files stay: a plain name such as `bridge` is taken only when it is free or ours, which is why the
conflist names `wherry-bridge`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apimachinery.kit.files import write_atomic
from cni.plugins import PLUGINS, PREFIX
from cni.settings import Settings

CONFLIST = "10-wherry.conflist"
NETWORK = "wherry"
PATHS = "wherry-cni.paths"
# The newest version that containerd 1.6's CNI library speaks.
VERSION = "1.0.0"
PERL = Path("/usr/bin/perl")
_ROOT = Path(__file__).resolve().parent.parent


def install_executables(bin_dir: Path, socket: Path | None = None, interpreter: str = sys.executable) -> list[Path]:
    """Write the plugins; returns what is ours there. Safe to repeat, and while plugins run.

    `socket` is the daemon's, for configurations without a `daemonSocket`. FileNotFoundError without Perl.
    """
    if not PERL.exists():
        raise FileNotFoundError(f"{PERL} is missing and runs the CNI executables: apt-get install perl-base")
    stub = (Path(__file__).parent / "bin" / "stub.pl").read_bytes()
    bin_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    _write(bin_dir / PATHS, f"{interpreter}\n{_ROOT}\n{socket or ''}\n".encode(), 0o644)
    installed = []
    for plugin in PLUGINS:
        for name in (PREFIX + plugin.name, plugin.name):
            path = bin_dir / name
            if name == plugin.name and path.exists() and not _is_ours(path):
                continue
            _write(path, stub, 0o755)
            installed.append(path)
    return installed


def conflist(settings: Settings, cidrs: Sequence[str], mtu: int) -> dict[str, Any]:
    """The network of a node that owns these pod CIDRs (one per IP family). `mtu`: bytes, of pods' links."""
    bridge: dict[str, Any] = {
        "type": PREFIX + "bridge",
        "bridge": settings.bridge,
        "isDefaultGateway": True,
        "forceAddress": True,
        "hairpinMode": True,
        "mtu": mtu,
        "daemonSocket": str(settings.socket),
        "capabilities": {"mac": True, "ips": True},
        "ipam": {
            "type": "host-local",
            "dataDir": str(settings.data_dir),
            "ranges": [[{"subnet": cidr}] for cidr in cidrs],
        },
    }
    portmap = {
        "type": PREFIX + "portmap",
        "snat": True,
        "daemonSocket": str(settings.socket),
        "capabilities": {"portMappings": True},
    }
    bandwidth = {
        "type": PREFIX + "bandwidth",
        "daemonSocket": str(settings.socket),
        "capabilities": {"bandwidth": True},
    }
    return {"cniVersion": VERSION, "name": NETWORK, "plugins": [bridge, portmap, bandwidth]}


def install_conflist(settings: Settings, cidrs: Sequence[str], mtu: int) -> bool:
    """Write the conflist when it differs; True when it was written. Never call it before the CIDR is
    known.
    """
    if not cidrs:
        raise ValueError("a node without a pod CIDR gets no network configuration")
    settings.conf_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    text = json.dumps(conflist(settings, cidrs, mtu), indent=2) + "\n"
    return _write(settings.conf_dir / CONFLIST, text.encode(), 0o644)


def remove_conflist(settings: Settings) -> bool:
    """Take ours away; True when there was one. Another program's stay."""
    try:
        (settings.conf_dir / CONFLIST).unlink()
    except FileNotFoundError:
        return False
    return True


def _write(path: Path, data: bytes, mode: int) -> bool:
    try:
        if path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
            return False
    except FileNotFoundError:
        pass
    write_atomic(path, data, mode)
    return True


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return b"wherry-cni.paths" in file.read(400)
