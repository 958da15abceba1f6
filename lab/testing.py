"""``wherry test``: the linters, then every test tier; one summary, and nothing left behind.

What tests make carries the prefix ``wht`` (namespaces, links, labs, cgroups, directories); what a test that was
killed left of that, and the processes in it, is cleared away before and after.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import command, netns
from apimachinery.kit.netlink import Netlink, links
from lab import cgroups, clean, cluster, processes, state
from lab.paths import RUN, Paths
from lab.progress import Progress
from lab.supervision import SOURCE

PREFIX = "wht"
CHECK_DEADLINE = 600.0
TIERS = ("unit", "kernel", "node", "cluster")
# Marker expressions; together they cover every test but the emulated machines.
_SELECTIONS = {
    "unit": "not kernel and not node and not cluster and not vm",
    "kernel": "kernel",
    "node": "node",
    "cluster": "cluster",
}
# Seconds for all tiers together: the project's own limit is 25 minutes. A slow tier may use what a quick one left.
BUDGET = 24 * 60.0
_DIRECTORIES = (Path("/var/tmp"), Path(tempfile.gettempdir()))


@dataclass(frozen=True)
class Outcome:
    """One part of the run."""

    name: str
    passed: bool
    seconds: float


async def run(tiers: Sequence[str], arguments: Sequence[str], *, lint: bool) -> bool:
    """Run the linters (when asked) and the tiers; True when all passed. Prints as it goes."""
    outcomes: list[Outcome] = []
    if lint:
        outcomes += [await _check(name, argv) for name, argv in _linters()]
    await sweep()
    try:
        deadline = time.monotonic() + BUDGET
        for tier in tiers:
            outcomes.append(await _tier(tier, arguments, deadline))
    finally:
        await sweep()
    print(flush=True)
    for outcome in outcomes:
        print(f"{'ok    ' if outcome.passed else 'FAILED'}  {outcome.name:<16}{outcome.seconds:7.1f} s", flush=True)
    failed = sum(not outcome.passed for outcome in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed", flush=True)
    return not failed


def _linters() -> list[tuple[str, list[str]]]:
    python = sys.executable
    return [
        ("ruff", [python, "-m", "ruff", "check", "."]),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
        ("mypy", [python, "-m", "mypy"]),
    ]


async def _check(name: str, argv: list[str]) -> Outcome:
    started = time.monotonic()
    result = await command.run(argv, timeout=CHECK_DEADLINE, check=False, env={**os.environ, "NO_COLOR": "1"})
    if result.returncode:
        print(f"--- {name}\n{result.stdout.decode(errors='replace')}{result.stderr.decode(errors='replace')}")
    return Outcome(name, result.returncode == 0, time.monotonic() - started)


async def _tier(tier: str, arguments: Sequence[str], deadline: float) -> Outcome:
    """One pytest run, killed at ``deadline`` (monotonic); its output goes straight through.

    Status 5, no tests, is a failure here.
    """
    print(f"\n--- {tier} tests", flush=True)
    started = time.monotonic()
    argv = [sys.executable, "-m", "pytest", "-q", "-m", _SELECTIONS[tier], "--durations=5", *arguments]
    process = await asyncio.create_subprocess_exec(*argv, cwd=SOURCE, start_new_session=True)
    with contextlib.suppress(OSError):
        # What a killed test leaves is found there, whatever it is.
        cgroups.join(f"{PREFIX}-tests", process.pid)
    try:
        code = await asyncio.wait_for(process.wait(), max(1.0, deadline - started))
    except asyncio.TimeoutError:
        print(f"--- {tier} tests did not end within {time.monotonic() - started:.0f} s", flush=True)
        code = -1
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Outcome(f"{tier} tests", code == 0, time.monotonic() - started)


async def sweep() -> None:
    """Clear away labs, processes, directories, namespaces, links and cgroups that tests made and did not remove."""
    if os.geteuid() != 0:
        return
    for lab in _test_labs():
        paths = Paths(lab)
        await cluster.down(paths, Progress(quiet=True))
        paths.lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        RUN.rmdir()
    await processes.kill([_strays])
    for directory in _directories():
        await asyncio.to_thread(clean.remove_tree, directory)
    for name in netns.names():
        if name.startswith(PREFIX):
            netns.delete(name)
    with Netlink() as kernel:
        for link in kernel.links():
            if link.name.startswith(PREFIX):
                kernel.do(links.delete(link.name))
    for name in _cgroups():
        await asyncio.to_thread(cgroups.remove, name)


def _strays() -> set[int]:
    """Processes in a test's network namespace or cgroup, and daemons that it configured in a directory of its own."""
    homes = {netns.identity(netns.path_of(name)) for name in netns.names() if name.startswith(PREFIX)}
    homes -= {None, netns.identity()}
    found = {pid for directory in _directories() for pid in processes.daemons_below(directory)}
    for name in _cgroups():
        found |= cgroups.members(name)
    everyone = set(processes.pids())
    return found.union(*(processes.inside(everyone, "net", home) for home in homes))


def _cgroups() -> set[str]:
    """In every hierarchy, v1 and v2."""
    return cgroups.matching(f"{PREFIX}.*")


def _directories() -> list[Path]:
    return [path for base in _DIRECTORIES for path in base.glob(f"{PREFIX}-*") if path.is_dir()]


def _test_labs() -> list[str]:
    return [name for name in state.labs() if name.startswith(PREFIX)]
