"""A bare watcher of the measured slice that asks the VIP once it has heard, in a process of its own.

It does nothing else: neither what the writer is answered nor another thread's turn comes between event and question. No
answer can be sooner than its floor, which is the event.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE
from benchmarks.ends import until_answered_by

_DEADLINE = 30.0
_SILENT_SECONDS = 2 * _DEADLINE
"""after which it is taken to hear nothing any more"""
_PAUSE = 0.0001
"""seconds between two questions"""


class Bystander:
    """The process, for as long as its `with` lasts, in the network namespace of the calling thread. Its methods block
    and raise TimeoutError with what it said instead."""

    def __init__(self, kubeconfig: Path, watched: Mapping[str, Any]) -> None:
        """It watches from this version of the slice on."""
        names = (watched["metadata"][key] for key in ("namespace", "name", "resourceVersion"))
        argv = [sys.executable, "-m", __name__, str(kubeconfig), *names]
        out = subprocess.PIPE
        self._process = subprocess.Popen(argv, stdout=out, cwd=Path(__file__).parents[1], start_new_session=True)

    def __enter__(self) -> Bystander:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def ready(self) -> None:
        """Return once it is about to watch."""
        self._line()

    def moments(self) -> tuple[float, float]:
        """Of the next change: when it was told, and when the VIP was first answered by whom it tells, as
        `time.perf_counter` counts."""
        heard, answered = map(float, self._line().split())
        return heard, answered

    def _line(self) -> str:
        assert self._process.stdout is not None
        late = threading.Timer(_SILENT_SECONDS, self._process.kill)
        late.start()
        try:
            line = self._process.stdout.readline().decode().strip()
        finally:
            late.cancel()
        if not line or line.startswith(_FAILED):
            raise TimeoutError(line or "the bare watcher has ended")
        return line


_FAILED = "the VIP"
"""begins what it says instead of moments"""


async def _watch(kubeconfig: Path, namespace: str, name: str, version: str) -> None:
    client = Client.from_kubeconfig(kubeconfig, "bench")
    try:
        print("ready", flush=True)
        selector = f"metadata.name={name}"
        async for _, obj in client.watch(ENDPOINT_SLICE, namespace, resource_version=version, field_selector=selector):
            heard = time.perf_counter()
            try:
                # Holds the loop, which has nothing else to do.
                target = obj["endpoints"][0]["addresses"][0]
                print(heard, until_answered_by(target, threading.Event(), _DEADLINE, pause=_PAUSE), flush=True)
            except TimeoutError as late:
                print(late, flush=True)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(_watch(Path(sys.argv[1]), *sys.argv[2:]))
