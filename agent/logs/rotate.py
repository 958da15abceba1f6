"""Rotation: a log beyond its size is renamed, the runtime opens a new one, old ones are packed and dropped.

Source: https://kubernetes.io/docs/concepts/cluster-administration/logging/#log-rotation .
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.settings import AgentSettings
from agent.view import ContainerRef, RuntimeView

log = logging.getLogger(__name__)

CHECK_SECONDS = 10.0
_STAMP = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class RotationPlan:
    """Files beside a log: what is removed and what is packed before the log itself is renamed."""

    remove: tuple[str, ...]
    pack: tuple[str, ...]


def plan_rotation(log_name: str, names: Sequence[str], max_files: int) -> RotationPlan:
    """`names` are the entries of the log's directory.

    Kept are the log, its newest rotated file as it is and older ones packed, `max_files` in all once the log has been
    renamed and a new one begun.
    """
    mine = [name for name in names if name.startswith(log_name + ".")]
    broken = [name for name in mine if name.endswith(".tmp")]
    packed = {name for name in mine if name.endswith(".gz")}
    # Packed already, but the agent ended before it removed the original.
    broken += [name for name in mine if f"{name}.gz" in packed]
    rotated = sorted(name for name in mine if name not in broken)
    keep = max(max_files - 2, 0)
    excess = rotated[: max(len(rotated) - keep, 0)]
    left = rotated[len(excess) :]
    return RotationPlan(tuple(broken + excess), tuple(name for name in left if not name.endswith(".gz")))


class LogRotator:
    """Looks at every running container's log now and then."""

    def __init__(self, settings: AgentSettings, view: RuntimeView) -> None:
        self._settings = settings
        self._view = view

    async def run(self) -> None:
        """Rotate until cancelled; one container's trouble is no other's."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for container in self._view.all_containers():
                if container.state != "running":
                    continue
                try:
                    await self._check(container)
                except Exception as error:
                    log.error("cannot rotate %s: %s", container.log_path, error)

    async def _check(self, container: ContainerRef) -> None:
        path = container.log_path
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            # The runtime lost its file, as after a rotation that was cut short.
            await self._view.reopen_log(container.id)
            return
        if size >= self._settings.container_log_max_bytes:
            await self.rotate(container)

    async def rotate(self, container: ContainerRef) -> None:
        """Rotate one log now."""
        path = container.log_path
        names = [entry.name for entry in path.parent.iterdir()]
        plan = plan_rotation(path.name, names, self._settings.container_log_max_files)
        for name in plan.remove:
            path.with_name(name).unlink(missing_ok=True)
        for name in plan.pack:
            await asyncio.to_thread(_pack, path.with_name(name))
        target = path.with_name(f"{path.name}.{time.strftime(_STAMP, time.gmtime())}")
        path.rename(target)
        try:
            await self._view.reopen_log(container.id)
        except BaseException:
            # The runtime still writes to the renamed file: give it its name back.
            target.rename(path)
            raise


def _pack(path: Path) -> None:
    making = path.with_name(path.name + ".tmp")
    with path.open("rb") as source, gzip.open(making, "wb") as target:
        shutil.copyfileobj(source, target)
    making.rename(path.with_name(path.name + ".gz"))
    path.unlink()
