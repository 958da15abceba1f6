"""Pods that hold more of the node's disk than they may are evicted: an emptyDir beyond its sizeLimit, a pod or a
container beyond its limit of ephemeral-storage (what it wrote to its file system, its logs, its emptyDirs on disk).

Looked at every ten seconds, as upstream's eviction manager does, or as rarely as keeps the time that it takes to look
at a pod's files below a twentieth; only pods with such a limit cost anything. An emptyDir in memory is held to its size
by its file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import podspec
from agent.cri.errors import CriError
from agent.host import paths
from agent.pods.lifecycle import Stage
from agent.pods.pods import Pods
from agent.settings import AgentSettings
from agent.status.pod_status import Verdict
from agent.view import RuntimeView
from agent.volumes.plugins import PLUGINS, by_kind
from apimachinery import quantity
from apimachinery.objects import Obj
from apimachinery.pods import totals

log = logging.getLogger(__name__)

RESOURCE = "ephemeral-storage"
_REASON = "Evicted"
_SECONDS = 10.0
# What containers get to end in, whatever their pod says: upstream's for evictions that cannot wait.
_GRACE_SECONDS = 1
# How many times what it took to look at a pod's files passes before they are looked at again.
_PAUSES = 20
_BLOCK = 512


@dataclass(frozen=True)
class Written:
    """Bytes on the disk: of emptyDirs by volume, of containers' file systems with their logs by name."""

    volumes: Mapping[str, int]
    containers: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.volumes.values()) + sum(self.containers.values())


class StorageLimits:
    def __init__(self, settings: AgentSettings, view: RuntimeView, pods: Pods) -> None:
        self._settings = settings
        self._view = view
        self._pods = pods
        self._due: dict[str, float] = {}
        """When a pod is looked at again, by uid."""

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            try:
                await self.look()
            except (CriError, OSError) as error:
                log.warning("what pods have written cannot be told: %s", error)

    async def look(self) -> None:
        """Evict who is beyond a limit now. Raises CriError, OSError."""
        running = (worker for worker in self._pods.all() if worker.life.stage is Stage.SYNC)
        limited = [worker for worker in running if is_limited(worker.pod)]
        now = time.monotonic()
        self._due = {worker.uid: self._due.get(worker.uid, now) for worker in limited}
        limited = [worker for worker in limited if self._due[worker.uid] <= now]
        if not limited:
            return
        own: dict[str, dict[str, int]] = {}
        for usage in await self._view.usage():
            if usage.fs_used is not None:
                files = own.setdefault(usage.ref.pod_uid, {})
                files[usage.ref.name] = files.get(usage.ref.name, 0) + usage.fs_used
        for worker in limited:
            pod, began = worker.pod, time.monotonic()
            written = await asyncio.to_thread(_measure, self._settings, pod, own.get(worker.uid, {}))
            ended = time.monotonic()
            self._due[worker.uid] = ended + _PAUSES * (ended - began)
            why = excess(pod, written)
            if not why:
                continue
            if podspec.critical(pod):
                log.error("critical pod %s is not evicted: %s", podspec.full_name(pod), why)
                continue
            worker.evict(Verdict(_REASON, why, grace=_GRACE_SECONDS))


def is_limited(pod: Obj) -> bool:
    """Whether anything of it is limited that lies on the disk."""
    volumes = any(_size_limit(volume) for volume in podspec.spec(pod).get("volumes") or ())
    return volumes or RESOURCE in totals.total(podspec.spec(pod), "limits", overhead=False)


def excess(pod: Obj, written: Written) -> str:
    """Which limit is passed, in upstream's words and order; "" for none."""
    spec = podspec.spec(pod)
    for volume in spec.get("volumes") or ():
        size, used = _size_limit(volume), written.volumes.get(volume["name"], 0)
        if size and used > quantity.parse(size).value():
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{quantity.canonical(size)}". '
    limit = totals.total(spec, "limits", overhead=False).get(RESOURCE)
    if limit is not None and written.total > limit.value():
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
    for container in spec.get("containers") or ():
        name, text = container["name"], ((container.get("resources") or {}).get("limits") or {}).get(RESOURCE)
        if text and (most := quantity.parse(text).value()) and written.containers.get(name, 0) > most:
            return f'Container {name} exceeded its local ephemeral storage limit "{quantity.canonical(text)}". '
    return ""


def _size_limit(volume: Obj) -> str:
    """Of an emptyDir on the disk; "" for none."""
    source = volume.get("emptyDir") or {}
    text = "" if source.get("medium") else str(source.get("sizeLimit") or "")
    return text if text and quantity.parse(text).value() > 0 else ""


def _measure(settings: AgentSettings, pod: Obj, own: Mapping[str, int]) -> Written:
    """`own`: what containers wrote to their file systems, as the runtime counts it."""
    empty_dirs = by_kind(PLUGINS)["emptyDir"].directory
    volumes = paths.pod_directory(settings.root_dir, podspec.uid(pod)) / "volumes" / empty_dirs
    logs = paths.log_directory(settings.pod_log_dir, pod)
    on_disk = (v for v in podspec.spec(pod).get("volumes") or () if "emptyDir" in v and not _in_memory(v))
    names = {*own, *(container["name"] for container in podspec.all_containers(pod))}
    return Written(
        {volume["name"]: used(volumes / volume["name"]) for volume in on_disk},
        {name: own.get(name, 0) + used(logs / name) for name in names},
    )


def _in_memory(volume: Obj) -> bool:
    return bool((volume.get("emptyDir") or {}).get("medium"))


def used(directory: Path) -> int:
    """Bytes that a tree takes on its file system; each file once, however many names it has, and nothing of what is
    mounted below. What vanishes meanwhile takes nothing, nor does what lies deeper than a path can tell (4096 bytes).
    """
    try:
        device = directory.stat().st_dev
    except OSError:
        return 0
    total, seen, left = 0, set[int](), [str(directory)]
    # Whoever fills it chooses how deep it is and how many files are in one directory: neither is kept in hand at once.
    while left:
        for entry in _entries(left.pop()):
            try:
                info = entry.stat(follow_symlinks=False)
                below = entry.is_dir(follow_symlinks=False)
            except OSError:
                continue
            if info.st_dev != device or info.st_ino in seen:
                continue
            total += info.st_blocks * _BLOCK
            if below:
                left.append(entry.path)
            elif info.st_nlink > 1:
                seen.add(info.st_ino)
    return total


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        yield from entries
