"""Removing what a pod left: old runs while it lives, everything once it is gone."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from agent import podspec
from agent.containers.termination import remove_files
from agent.cri.model import PodRecord, State
from agent.host import paths
from agent.pods.applier import Parts
from apimachinery.objects import Obj

# The newest run and the one before it: what a status shows and `logs --previous` reads.
_KEPT_RUNS = 2


async def collect(parts: Parts, record: PodRecord) -> None:
    """Remove runs older than the last two of each container, sandboxes nothing refers to, and files of last words
    whose container was never made or is gone. Raises CriError."""
    seen: dict[str, int] = {}
    removed = set()
    for run in record.containers:
        seen[run.name] = seen.get(run.name, 0) + 1
        if seen[run.name] > _KEPT_RUNS and run.state is State.EXITED:
            await parts.runtime.remove_container(run.id)
            parts.cache.drop(run.id)
            removed.add(run.id)
            remove_files(run)
    used = {run.sandbox_id for run in record.containers if run.id not in removed}
    for sandbox in record.sandboxes[1:]:
        if not sandbox.ready and sandbox.id not in used:
            await parts.runtime.remove_sandbox(sandbox.id)
            parts.cache.drop(sandbox.id)
    written = {run.termination_host_path for run in record.containers if run.id not in removed}
    for file in (paths.pod_directory(parts.settings.root_dir, record.uid) / "containers").glob("*/*"):
        if str(file) not in written:
            file.unlink(missing_ok=True)


async def clean(parts: Parts, pod: Obj) -> None:
    """Remove containers, sandboxes, logs and the agent's own files of a pod that runs no more. Raises CriError."""
    uid = podspec.uid(pod)
    record = parts.cache.record(uid)
    for run in record.containers:
        await parts.runtime.remove_container(run.id)
        parts.cache.drop(run.id)
    for sandbox in record.sandboxes:
        await parts.runtime.stop_sandbox(sandbox.id)
        await parts.runtime.remove_sandbox(sandbox.id)
        parts.cache.drop(sandbox.id)
    shutil.rmtree(paths.log_directory(parts.settings.pod_log_dir, pod), ignore_errors=True)
    _remove_directory(paths.pod_directory(parts.settings.root_dir, uid))
    parts.backoff.forget(f"{uid}_")
    parts.images.forget(uid)


def _remove_directory(directory: Path) -> None:
    """The agent's own files; never through anything that may still be mounted."""
    shutil.rmtree(directory / "containers", ignore_errors=True)
    (directory / "etc-hosts").unlink(missing_ok=True)
    for folder in (directory / "plugins", directory / "volume-subpaths", directory / "volumes", directory):
        with contextlib.suppress(OSError):
            folder.rmdir()
