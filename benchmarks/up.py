"""`up` from nothing to Ready nodes and a first VIP answer, warm, beside the start of the containerds alone.

The floor starts as many containerds in turn-taking parallel as the lab has nodes, imports the same images and
stops: what no node of this design can do without.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from apimachinery.kit import command
from benchmarks.figures import head, row
from lab import clean, containerd, processes
from lab.images import catalog
from lab.images import load as images
from lab.paths import Paths
from lab.status import Status
from lab.supervisor_client import SOURCE

NAME = "whtbench"
DEADLINE = 180.0


async def wherry(*arguments: str) -> float:
    """Run a wherry command as a person would; seconds it took, interpreter start included."""
    begun = time.perf_counter()
    argv = [sys.executable, "-m", "lab", *arguments]
    await command.run(argv, timeout=DEADLINE, env={**os.environ, "PYTHONPATH": str(SOURCE)})
    return time.perf_counter() - begun


async def measure(rounds: int, nodes: int, proxy_mode: str, show: Callable[[str], None]) -> None:
    """Print seconds of `up` and `down`; the first round warms the caches and is left out."""
    ups, downs, floors = [], [], []
    for number in range(rounds + 1):
        try:
            up = await wherry("up", "--name", NAME, "--nodes", str(nodes), "--proxy-mode", proxy_mode)
        finally:
            down = await wherry("down", "--name", NAME)
        floor = await _floor(nodes)
        if number:
            ups.append(up)
            downs.append(down)
            floors.append(floor)
    show(head("seconds"))
    show(row(f"up, {nodes} nodes Ready and a VIP answer ({proxy_mode})", ups))
    show(row(f"  floor: {nodes} containerds started, images imported", floors))
    show(row("down", downs))


async def _floor(nodes: int) -> float:
    """Seconds to start the containerds and import the images, then end them again."""
    tar = await images.archive([catalog.PAUSE, catalog.BUSYBOX])
    with tempfile.TemporaryDirectory(prefix="whtbench-") as directory:
        paths = Paths("whtfloor", Path(directory))
        begun = time.perf_counter()
        await asyncio.gather(*(_one(paths, f"node{number}", tar) for number in range(nodes)))
        took = time.perf_counter() - begun
        await processes.kill([lambda: processes.daemons_below(Path(directory))])
        await asyncio.to_thread(clean.unmount_below, Path(directory))
    return took


async def _one(paths: Paths, node: str, tar: Path) -> None:
    state = paths.node_state(node)
    for directory in (state, paths.node_run(node)):
        directory.mkdir(parents=True)
    config = state / "containerd.toml"
    config.write_text(containerd.config(paths, node, restrict_oom=containerd.oom_score_is_limited()))
    pid = command.start(["containerd", "--config", str(config)], state / "containerd.log")
    assert pid > 0
    deadline = time.monotonic() + DEADLINE
    while not paths.containerd_socket(node).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"containerd does not start; its log is {state / 'containerd.log'}")
        await asyncio.sleep(0.01)
    await images.load(paths.containerd_socket(node), tar)


def memory(status: Status, show: Callable[[str], None]) -> None:
    """Memory (proportional set size) of every component of a running lab, and the sums that are aimed at."""
    for part in status.components:
        show(f"{part.name:<52}{part.memory / (1 << 20):9.1f}   MB")
    plane = sum(p.memory for p in status.components if p.name in ("apiserver", "scheduler", "controllers"))
    nodes = {p.name.partition("/")[0] for p in status.components if "/" in p.name}
    show(f"{'control plane (apiserver, scheduler, controllers)':<52}{plane / (1 << 20):9.1f}   MB (aim: under 200)")
    for node in sorted(nodes):
        pair = sum(p.memory for p in status.components if p.name in (f"{node}/agent", f"{node}/proxy"))
        show(f"{node + ': agent + proxy':<52}{pair / (1 << 20):9.1f}   MB (aim: under 130)")
