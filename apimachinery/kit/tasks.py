"""Waiting and ending without losing a cancellation.

Until Python 3.12 `asyncio.wait_for` forgets that it was cancelled when what it waits for is done in the same
turn of the loop. A worker that waits so for its next piece of work then lives on after it was told to end, and
a loop that is being closed waits for it for ever. So loops wait with `is_set_within`, work that is cancelled
only once is bounded by `within`, and whoever ends tasks that call `wait_for` anywhere ends them with `end`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds a cancelled task gets before it is cancelled again: it may have forgotten, or be cleaning up.
_AGAIN = 0.5


async def is_set_within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait until `event` is set, but no longer than `seconds` (None: for ever); whether it is."""
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((waiter,), timeout=None if seconds is None else max(0.0, seconds))
    finally:
        waiter.cancel()
    return event.is_set()


async def within(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of `work`, which is cancelled after `seconds` and with the caller; asyncio.TimeoutError then."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        # What it died of while the caller was cancelled, or after its time, is nobody's to hear: taken note of, so that
        # asyncio does not log it whenever the task is collected.
        if not task.cancelled():
            task.exception()
    raise asyncio.TimeoutError


async def end(tasks: Collection[asyncio.Task[Any]], seconds: float) -> set[asyncio.Task[Any]]:
    """Cancel the tasks until all have ended, for at most `seconds`; those that have not.

    What they died of is theirs to report: nothing is raised, but the caller's own cancellation.
    """
    loop = asyncio.get_running_loop()
    deadline, left = loop.time() + seconds, set(tasks)
    while left and (rest := deadline - loop.time()) > 0:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=min(_AGAIN, rest))
    return left
