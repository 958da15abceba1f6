"""Addresses for an attachment: host-local in this process, any other IPAM plugin as the executable it is."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from apimachinery.kit import command
from cni import types
from cni.host import Host
from cni.hostlocal import plugin as hostlocal
from cni.skel import Request
from cni.types import CniError, Result

OURS = ("host-local", "wherry-host-local")
TIMEOUT = 30.0


def kind(request: Request) -> str:
    """The configured IPAM plugin, "" for none."""
    return str(request.section("ipam").get("type") or "")


def add(request: Request, host: Host) -> Result:
    if not kind(request):
        return types.from_version({})
    if kind(request) in OURS:
        return hostlocal.add(request, host)
    return types.from_version(json.loads(_delegate(request, "ADD") or b"{}"))


def delete(request: Request, host: Host) -> None:
    if kind(request) in OURS:
        hostlocal.delete(request, host)
    elif kind(request):
        _delegate(request, "DEL")


def check(request: Request, host: Host) -> None:
    if kind(request) in OURS:
        hostlocal.check(request, host)
    elif kind(request):
        _delegate(request, "CHECK")


def gc(request: Request, host: Host) -> None:
    if kind(request) in OURS:
        hostlocal.gc(request, host)
    elif kind(request):
        _delegate(request, "GC")


def status(request: Request, host: Host) -> None:
    if kind(request) in OURS:
        hostlocal.status(request, host)
    elif kind(request):
        _delegate(request, "STATUS")


def _delegate(request: Request, name: str) -> bytes:
    """Specification section 4: same environment, same configuration, the plugin found in CNI_PATH."""
    found = next((p for d in request.path if (p := Path(d) / kind(request)).is_file()), None)
    if found is None:
        raise CniError(types.INVALID_CONFIG, f'failed to find plugin "{kind(request)}" in path {list(request.path)}')
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "CNI_COMMAND": name,
        "CNI_CONTAINERID": request.container_id,
        "CNI_NETNS": request.netns,
        "CNI_IFNAME": request.ifname,
        "CNI_ARGS": ";".join(f"{k}={v}" for k, v in request.arguments.items()),
        "CNI_PATH": ":".join(request.path),
    }
    stdin = json.dumps(request.config).encode()
    call = command.run([str(found)], stdin=stdin, timeout=TIMEOUT, check=False, env=environment)
    result = asyncio.run(call)
    if result.returncode:
        raise _failure(kind(request), result.stdout, result.stderr)
    return result.stdout


def _failure(plugin: str, stdout: bytes, stderr: bytes) -> CniError:
    try:
        said = json.loads(stdout)
        return CniError(int(said["code"]), str(said["msg"]), str(said.get("details", "")))
    except (ValueError, KeyError, TypeError):
        return CniError(types.INTERNAL, f"{plugin} failed", stderr.decode(errors="replace")[-500:])
