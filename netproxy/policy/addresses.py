"""Which address a pod of this node has just got, before the API says so: from what CNI's library keeps on disk.

Whoever calls CNI plugins by libcni (containerd, CRI-O) writes each result into a file before it starts the containers.
So a pod's first packet finds its policies in force, and none is held back for want of knowing whose it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from apimachinery.kit import inotify
from apimachinery.objects import loads
from netproxy.views import canonical

log = logging.getLogger(__name__)
_MASK = (
    inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO | inotify.IN_DELETE | inotify.IN_MOVED_FROM | inotify.IN_DELETE_SELF
)
_LOOK_SECONDS = 1.0
"""between two looks for a directory that is not there yet"""
Tell = Callable[[str, tuple[str, ...]], None]
Record = tuple[str, tuple[str, ...]]
"""(namespace/name, addresses)"""


def read(data: bytes) -> Record | None:
    """One result file: the pod and its addresses; None for what is no pod's, or no result (yet). Pure."""
    try:
        found = loads(data)
        words = dict(found.get("cniArgs") or ())
        key = f"{words['K8S_POD_NAMESPACE']}/{words['K8S_POD_NAME']}"
        result = found["result"]
        # Before version 0.3 there were ip4 and ip6, later a list.
        listed = [entry["address"] for entry in result.get("ips") or ()]
        listed += [result[word]["ip"] for word in ("ip4", "ip6") if result.get(word)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    ips = tuple(sorted(canonical(text.partition("/")[0]) for text in listed))
    return (key, ips) if ips else None


class PodAddresses:
    """Follows the directory; `tell(pod, addresses)` hears of every change, with all the addresses the pod has."""

    def __init__(self, directory: Path, tell: Tell) -> None:
        self._directory = directory
        self._tell = tell
        self._records: dict[str, Record] = {}
        self._files: dict[str, set[str]] = defaultdict(set)

    async def run(self) -> None:
        """For ever."""
        while True:
            while not self._directory.is_dir():
                await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._follow()
            except OSError as error:
                log.warning(
                    "new pods' addresses are learnt from the API alone, next try in %g s: %s", _LOOK_SECONDS, error
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _follow(self) -> None:
        with inotify.Inotify() as events:
            events.add(self._directory, _MASK | inotify.IN_ONLYDIR)
            self._look_at_all()
            while True:
                for event in await events.wait():
                    if event.mask & inotify.IN_DELETE_SELF:
                        return
                    if event.lost:
                        self._look_at_all()
                    else:
                        self._look(event.name)

    def _look_at_all(self) -> None:
        present = {path.name for path in self._directory.iterdir()}
        for name in present | self._records.keys():
            self._look(name)

    def _look(self, name: str) -> None:
        try:
            record = read((self._directory / name).read_bytes())
        except OSError:
            record = None
        before = self._records.pop(name, None)
        if record is not None:
            self._records[name] = record
        if before == record:
            return
        for key in dict.fromkeys(known[0] for known in (before, record) if known):
            self._files[key].discard(name)
            if record is not None and record[0] == key:
                self._files[key].add(name)
            ips = {ip for file in self._files[key] for ip in self._records[file][1]}
            if not self._files[key]:
                del self._files[key]
            self._tell(key, tuple(sorted(ips)))
