"""The pool: linters and pytest runs side by side, each test run enclosed, one line for each as it ends."""

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

from apimachinery.kit import command
from lab import cgroups
from lab.paths import CACHE
from lab.supervisor_client import SOURCE
from lab.testing import enclosure, plan, report
from lab.testing.report import Counts
from lab.testing.sweep import PREFIX, REPORTS, swept

# Seconds for everything together: the project's own limit is 25 minutes.
BUDGET = 24 * 60.0
# Emulated machines go on when they are let, and each ends by itself.
EMULATED_BUDGET = 8 * 3600.0
# Runs beside as many as there are processors: those of labs and kernels wait for more than half of their time, and with
# two more than processors the two of a small machine were idle for a fifth of it.
WAITING = 3
NO_TESTS = 5
"""pytest's exit status when its selection is empty."""


@dataclass(frozen=True)
class Task:
    """A command, and what it is: a linter (`tier` is empty) or a run of a tier."""

    name: str
    argv: tuple[str, ...]
    tier: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a task ended. `code`: exit status, None at the deadline; `cpu`: processor seconds, where counted."""

    task: Task
    code: int | None
    seconds: float
    cpu: float
    counts: Counts

    @property
    def passed(self) -> bool:
        return self.code == 0 or (bool(self.task.tier) and self.code == NO_TESTS)


async def run(tiers: Sequence[str], arguments: Sequence[str], *, lint: bool, jobs: int = 0) -> bool:
    """Run the linters (when asked) and the tiers, `jobs` at once (0: as this machine has processors, and WAITING more);
    True when all passed. `arguments` are pytest's; paths among them choose files. Prints as it goes.
    """
    os.chdir(SOURCE)
    async with swept(CACHE):
        started = time.monotonic()
        # Where an enclosure hides nothing.
        with tempfile.TemporaryDirectory(prefix=REPORTS, dir=CACHE) as directory:
            pool = _Pool(Path(directory), started + (EMULATED_BUDGET if plan.EMULATED in tiers else BUDGET))
            outcomes = await pool.run(_tasks(tiers, arguments, lint), jobs or (os.cpu_count() or 1) + WAITING)
    # With a selection of their own a tier may well be left out.
    return _summary(outcomes, () if arguments else tiers, time.monotonic() - started)


def _tasks(tiers: Sequence[str], arguments: Sequence[str], lint: bool) -> list[Task]:
    chosen = [a for a in arguments if a.startswith("tests") and (SOURCE / a.partition("::")[0]).exists()]
    options = [a for a in arguments if a not in chosen]
    tasks = []
    for each in plan.deal(_sources(chosen), tiers):
        files = [node for file in each.files for node in _nodes(file, chosen)]
        argv = (sys.executable, "-m", "pytest", "-q", "-m", each.selection, "-p", "no:cacheprovider", *options, *files)
        tasks.append(Task(each.name, argv, each.tier))
    # What waits begins first and what computes fills the gaps.
    waiting = sum(task.tier != "unit" for task in tasks)
    return [*tasks[:waiting], *(_linters() if lint else ()), *tasks[waiting:]]


def _sources(chosen: Sequence[str]) -> list[plan.Source]:
    """Every test file, or those at and below the chosen paths."""
    wanted = [(SOURCE / each.partition("::")[0]).resolve() for each in chosen] or [SOURCE / "tests"]
    found = [file for file in sorted((SOURCE / "tests").rglob("test_*.py")) if set(wanted) & {file, *file.parents}]
    return [plan.source(str(file.relative_to(SOURCE)), file.read_text(encoding="utf-8")) for file in found]


def _nodes(file: str, chosen: Sequence[str]) -> list[str]:
    """The file, or those of its tests that were asked for."""
    return [each for each in chosen if each.startswith(f"{file}::")] or [file]


def _linters() -> list[Task]:
    python = sys.executable
    return [
        Task("ruff", (python, "-m", "ruff", "check", ".")),
        Task("ruff format", (python, "-m", "ruff", "format", "--check", ".")),
        Task("mypy", (python, "-m", "mypy")),
    ]


class _Pool:
    """Runs tasks in order, so many at once, until the deadline (monotonic)."""

    def __init__(self, directory: Path, deadline: float) -> None:
        self._directory = directory
        self._deadline = deadline

    async def run(self, tasks: Sequence[Task], jobs: int) -> list[Outcome]:
        waiting, outcomes = list(enumerate(tasks)), []

        async def worker() -> None:
            while waiting:
                number, task = waiting.pop(0)
                outcome = await self._one(number, task)
                outcomes.append(outcome)
                _told(outcome, self._log(number))

        workers = [asyncio.ensure_future(worker()) for _ in range(min(jobs, len(tasks)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return outcomes

    def _log(self, number: int) -> Path:
        return self._directory / f"{number}.log"

    async def _one(self, number: int, task: Task) -> Outcome:
        started, group, results = time.monotonic(), _group(number), self._directory / f"{number}.xml"
        argv = list(task.argv)
        if task.tier:
            argv.append(f"--junitxml={results}")
        if task.tier in plan.TIERS:
            argv = enclosure.argv(group, argv)
        environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(SOURCE)}
        pid = command.start(argv, self._log(number), environment)
        code = await _ended(pid, self._deadline - started)
        cpu = cgroups.cpu_seconds(group)
        await asyncio.to_thread(cgroups.remove, group)
        return Outcome(task, code, time.monotonic() - started, cpu, report.read(results))


def _group(number: int) -> str:
    """The cgroup of a task: this run's alone, for there may be others beside it."""
    return f"{PREFIX}-tests-{os.getpid()}-{number}"


async def _ended(pid: int, seconds: float) -> int | None:
    """The exit status; None when the process had to be killed after `seconds`."""
    waiting = asyncio.get_running_loop().run_in_executor(None, os.waitpid, pid, 0)
    try:
        _, status = await asyncio.wait_for(asyncio.shield(waiting), max(1.0, seconds))
        return os.waitstatus_to_exitcode(status)
    except asyncio.TimeoutError:
        return None
    finally:
        if not waiting.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            await asyncio.wait([waiting])


def _told(outcome: Outcome, log: Path) -> None:
    """A line; of a failure also what it printed."""
    if not outcome.passed:
        print(f"\n--- {outcome.task.name}\n{log.read_text(encoding='utf-8', errors='replace')}", flush=True)
    counts = outcome.counts
    tests = f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped" if outcome.task.tier else ""
    mark = "ok    " if outcome.passed else "FAILED" if outcome.code is not None else "LATE  "
    cpu = f" ({outcome.cpu:.0f} s of processor)" if outcome.cpu else ""
    # Killed from outside, it had no time to say a word.
    how = f"; {signal.Signals(-outcome.code).name} ended it" if outcome.code and outcome.code < 0 else ""
    print(f"{mark}  {outcome.task.name:<14}{outcome.seconds:7.1f} s  {tests}{cpu}{how}", flush=True)


def _summary(outcomes: Sequence[Outcome], tiers: Sequence[str], seconds: float) -> bool:
    """The last lines; whether all is well. A tier without any test is not."""
    counts = sum((outcome.counts for outcome in outcomes), Counts())
    empty = [tier for tier in tiers if all(o.code == NO_TESTS for o in outcomes if o.task.tier == tier)]
    if not counts.passed + counts.failed and any(outcome.task.tier for outcome in outcomes):
        empty.append("everything")
    wrong = [outcome.task.name for outcome in outcomes if not outcome.passed] + [f"{tier}: no tests" for tier in empty]
    print("\nslowest tests:", flush=True)
    for took, name in counts.slowest:
        print(f"{took:7.1f} s  {name}", flush=True)
    cpu = sum(outcome.cpu for outcome in outcomes)
    print(f"\n{seconds:.0f} s, {cpu:.0f} s of processor{''.join(f'; FAILED: {each}' for each in wrong)}", flush=True)
    # A linter that failed, or a run that ended before it could count, is a failure too.
    failed = max(counts.failed, len(wrong))
    print(f"{counts.passed} passed, {failed} failed, {counts.skipped} skipped", flush=True)
    return not wrong
