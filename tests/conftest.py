"""A test without a deadline of its own still ends: it fails where it stood, and the run goes on."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import hypothesis
import pytest

from lab import inherited
from lab.testing import plan

# Tests judge the project, not the shell, script or runner that started them: Ctrl-C reaches what they start, files
# have the modes that they ask for, and enough of them can be open.
inherited.settle()

# No test judges speed, so none may fail by a busy machine.
hypothesis.settings.register_profile("wherry", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("wherry")

# Files and what they import stay until the end: the collector would look at them again and again, a sixth of the time
# that collecting tests takes, and later each time it looks at anything old.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on there is something to collect, and it is not what there is by now."""
    gc.freeze()
    gc.enable()


# Seconds for one test, set-up and clean-up apart. Generous: a loaded machine is no failure, a hang is. An emulated
# machine has a deadline of its own, which counts only what it was let do.
SMALL, MACHINE, EMULATED = 180, 900, 7200
# How many times slower this machine is: an emulated one says so.
SLOWNESS = int(os.environ.get("WHERRY_SLOWNESS", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which files hold tests of a tier is read from their text (`lab.testing.plan`): no marker may come from
    elsewhere.
    """
    sources: dict[Path, plan.Source] = {}
    for item in items:
        if item.path not in sources:
            sources[item.path] = plan.source(item.path.name, item.path.read_text(encoding="utf-8"))
        marked = {mark.name for mark in item.iter_markers()} & {*plan.TIERS, "vm"}
        if not (marked or {"unit"}) - {"vm"} <= sources[item.path].tiers:
            raise pytest.UsageError(f"{item.nodeid}: write its markers ({', '.join(marked)}) out in this file")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Interrupts the test's thread by SIGALRM, which also ends a blocking call there."""
    longest = {"node": MACHINE, "cluster": MACHINE, "vm": EMULATED}
    seconds = max([SMALL, *(longest[tier] for tier in longest if item.get_closest_marker(tier))]) * SLOWNESS
    late: list[TimeoutError] = []

    def overdue(number: int, frame: FrameType | None) -> None:
        signal.alarm(5)  # once more, should clean-up hang on the same thing
        late.append(TimeoutError(f"{item.nodeid} did not end within {seconds} s"))
        raise late[-1]

    before = signal.signal(signal.SIGALRM, overdue)
    signal.alarm(seconds)
    try:
        result = yield
        # What was interrupted may have taken it for an error of its own, and gone on.
        if late:
            raise late[0]
        return result
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
