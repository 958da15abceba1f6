"""Removing what a pod left: runs that never ran or are to start anew, old runs while it lives, everything once it is
gone.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent import podspec
from agent.containers.termination import remove_files
from agent.cri.cache import RuntimeCache
from agent.cri.client import CriClient
from agent.cri.model import Container, PodRecord, State
from agent.host import paths
from apimachinery.objects import Obj

# The newest run and the one before it: what a status shows and `logs --previous` reads.
_KEPT_RUNS = 2
# N.log, and what rotation makes of it.
_ATTEMPT_LOG = re.compile(r"\d+\.log")


@dataclass(frozen=True)
class Cleaner:
    runtime: CriClient
    cache: RuntimeCache
    root_dir: Path
    pod_log_dir: Path

    async def remove(self, run: Container, *, with_log: bool = True) -> None:
        """Remove one run; its log stays where it is what tells why. Raises CriError."""
        if with_log:
            # First: of a log without its container the next start takes its number.
            remove_files(run)
        await self.runtime.remove_container(run.id)
        self.cache.drop(run.id)

    async def collect(self, record: PodRecord) -> None:
        """Remove runs older than the last two of each container, sandboxes nothing refers to, and files of last words
        whose container was never made or is gone. Raises CriError."""
        seen: dict[str, int] = {}
        removed = set()
        for run in record.containers:
            seen[run.name] = seen.get(run.name, 0) + 1
            if seen[run.name] > _KEPT_RUNS and run.state is State.EXITED:
                await self.remove(run)
                removed.add(run.id)
        used = {run.sandbox_id for run in record.containers if run.id not in removed}
        for sandbox in record.sandboxes[1:]:
            if not sandbox.ready and sandbox.id not in used:
                await self.runtime.remove_sandbox(sandbox.id)
                self.cache.drop(sandbox.id)
        written = {run.termination_host_path for run in record.containers if run.id not in removed}
        for file in (paths.pod_directory(self.root_dir, record.uid) / "containers").glob("*/*"):
            if str(file) not in written:
                file.unlink(missing_ok=True)

    async def clean(self, pod: Obj) -> None:
        """Remove containers, sandboxes, logs and the agent's own files of a pod that runs no more. Raises CriError."""
        uid = podspec.uid(pod)
        record = self.cache.record(uid)
        for run in record.containers:
            await self.remove(run, with_log=False)
        for sandbox in record.sandboxes:
            await self.runtime.stop_sandbox(sandbox.id)
            await self.runtime.remove_sandbox(sandbox.id)
            self.cache.drop(sandbox.id)
        shutil.rmtree(paths.log_directory(self.pod_log_dir, pod), ignore_errors=True)
        _remove_directory(paths.pod_directory(self.root_dir, uid))


def logged_attempts(logs: Path, containers: Iterable[str], but: frozenset[Path] = frozenset()) -> dict[str, int]:
    """By container, the attempt after the last one that left a log under the pod's `logs` (one in `but` does not
    count): runs may have been taken away since. Those without any are left out."""
    found = {}
    for name in containers:
        try:
            files = [file for file in (logs / name).iterdir() if _ATTEMPT_LOG.match(file.name) and file not in but]
        except FileNotFoundError:
            continue
        numbers = [int(file.name.partition(".")[0]) for file in files]
        if numbers:
            found[name] = max(numbers) + 1
    return found


def _remove_directory(directory: Path) -> None:
    """The agent's own files; never through anything that may still be mounted."""
    shutil.rmtree(directory / "containers", ignore_errors=True)
    (directory / "etc-hosts").unlink(missing_ok=True)
    for folder in (directory / "plugins", directory / "volume-subpaths", directory / "volumes", directory):
        with contextlib.suppress(OSError):
            folder.rmdir()
