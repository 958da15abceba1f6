"""A loop whose time does not pass but is turned on: to the next timer whenever everybody waits.

What a test waits for on it costs nothing, and that something has not happened after ten seconds is proven by ten
seconds of the loop's time, whatever the machine does meanwhile. Threads of the loop's executors are waited for in real
time. For code without other threads, without processes and without peers outside of the loop.
"""

from __future__ import annotations

import asyncio
import datetime
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest import mock

from apimachinery import timestamps

T = TypeVar("T")
# Longest real wait for a thread before time is turned on all the same: it may itself wait for a timer.
_PATIENCE = 10.0


class _Selector(selectors.DefaultSelector):
    """Instead of sleeping, turns the clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = time.monotonic()
        self.working = 0
        """Calls that threads have in hand."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if timeout is None:
            return super().select(None)
        if self.working and (found := super().select(_PATIENCE)):
            return found
        self.now += timeout
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop on such a clock."""

    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now

    def run_in_executor(  # type: ignore[override]  # (its type needs Python 3.11)
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self.clock.working += 1
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _: object) -> None:
        self.clock.working -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on such a loop; the module `time` and `timestamps.now` tell its time, too."""
    loop = Loop()
    ahead = time.time() - loop.time()
    told: dict[str, Any] = {
        "monotonic": loop.time,
        "time": lambda: loop.time() + ahead,
        "time_ns": lambda: int((loop.time() + ahead) * 1e9),
        "monotonic_ns": lambda: int(loop.time() * 1e9),
    }
    with mock.patch.multiple(time, **told), mock.patch.object(timestamps, "now", lambda: _date(loop.time() + ahead)):
        try:
            return loop.run_until_complete(main)
        finally:
            _end(loop)


def _date(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def _end(loop: Loop) -> None:
    """What `asyncio.run` does at its end."""

    async def cancel() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    try:
        loop.run_until_complete(cancel())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
