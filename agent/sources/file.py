"""Pods from a directory of manifests, read when the kernel says that a file changed and, in any case, now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from agent.sources.model import PodSink
from agent.sources.static import StaticPodError, pods_of
from apimachinery.kit import inotify
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

_EVENTS = inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO | inotify.IN_MOVED_FROM | inotify.IN_DELETE | inotify.IN_CREATE


class FileSource:
    """A PodSource over `directory`. A file that cannot be read keeps the pods it had."""

    name = "file"

    def __init__(self, directory: Path, node_name: str, check_seconds: float) -> None:
        self._directory = directory
        self._node_name = node_name
        self._check = check_seconds
        self._pods: dict[str, dict[str, Obj]] = {}

    async def run(self, sink: PodSink) -> None:
        """Deliver until cancelled."""
        self._scan(sink)
        sink.synced(self.name)
        while True:
            if not self._directory.is_dir():
                await asyncio.sleep(min(self._check, 1.0))
                self._scan(sink)
                continue
            with inotify.Inotify() as events:
                events.add(self._directory, _EVENTS | inotify.IN_DELETE_SELF | inotify.IN_ONLYDIR)
                # What happened between the last scan and the watch.
                self._scan(sink)
                while self._directory.is_dir():
                    await events.wait(self._check)
                    self._scan(sink)

    def _scan(self, sink: PodSink) -> None:
        files = self._files()
        found: dict[str, dict[str, Obj]] = {}
        for path in files:
            try:
                pods = self._read(path)
            except (OSError, StaticPodError, UnicodeDecodeError) as error:
                log.error("static pods: %s", error)
                pods = self._pods.get(path.name, {})
            if pods:
                found[path.name] = pods
        before = {uid: pod for pods in self._pods.values() for uid, pod in pods.items()}
        after = {uid: pod for pods in found.values() for uid, pod in pods.items()}
        self._pods = found
        for uid in before.keys() - after.keys():
            sink.remove_pod(self.name, uid)
        for uid in after.keys() - before.keys():
            sink.set_pod(self.name, after[uid])

    def _files(self) -> list[Path]:
        try:
            entries = sorted(self._directory.iterdir())
        except OSError as error:
            log.debug("static pods: %s", error)
            return []
        return [path for path in entries if not path.name.startswith(".") and path.is_file()]

    def _read(self, path: Path) -> dict[str, Obj]:
        pods = pods_of(path.read_text(), str(path), self._node_name, _seen())
        return {pod["metadata"]["uid"]: pod for pod in pods}


def _seen() -> str:
    nanoseconds = time.time_ns()
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 1_000_000_000))
    return f"{text}.{nanoseconds % 1_000_000_000:09d}Z"
