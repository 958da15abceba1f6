"""How every daemon lives: build bottom up, work until told to stop, take down in reverse.

A worker that dies ends the process: a daemon that limps on with one loop missing is worse than a restart.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from apimachinery.kit import loops, tasks

log = logging.getLogger(__name__)

# One part's clean-up may take this many seconds before the next part's turn comes.
CLEANUP_DEADLINE = 10.0


class Lifecycle:
    """The workers and clean-ups of one daemon."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._workers: set[asyncio.Task[Any]] = set()
        self._cleanups: list[tuple[str, Callable[[], Awaitable[None]], float]] = []
        self._failure: BaseException | None = None

    def spawn(self, name: str, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `coro` as a worker: its exception ends the daemon; a plain return means it is done."""
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._workers.add(task)
        task.add_done_callback(self._worker_done)
        return task

    def push(self, name: str, cleanup: Callable[[], Awaitable[None]], seconds: float = CLEANUP_DEADLINE) -> None:
        """Run `cleanup` when the daemon stops, before all that was pushed earlier; for so many seconds at most."""
        self._cleanups.append((name, cleanup, seconds))

    def request_stop(self) -> None:
        """Begin an orderly stop; safe to call more than once."""
        self.stopping.set()

    async def wait(self) -> None:
        """Wait for the stop, end workers, run clean-ups in reverse; re-raise what a worker died of."""
        await self.stopping.wait()
        await self._end_workers()
        for name, cleanup, seconds in reversed(self._cleanups):
            try:
                await asyncio.wait_for(cleanup(), seconds)
            except asyncio.TimeoutError:
                log.warning("cleanup of %s took longer than %g s and was left", name, seconds)
            except Exception:
                log.exception("cleanup of %s failed", name)
        if self._failure is not None:
            raise self._failure

    def _worker_done(self, task: asyncio.Task[Any]) -> None:
        self._workers.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("worker %s died: %r", task.get_name(), error, exc_info=error)
            self._failure = self._failure or error
            self.stopping.set()

    async def _end_workers(self) -> None:
        for task in await tasks.end(self._workers, CLEANUP_DEADLINE):
            log.warning("worker %s did not end in %g s and was left", task.get_name(), CLEANUP_DEADLINE)


async def _live(main: Callable[[Lifecycle], Awaitable[None]]) -> None:
    lifecycle = Lifecycle()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lifecycle.request_stop)
    building = asyncio.ensure_future(main(lifecycle))
    stopping = asyncio.ensure_future(lifecycle.stopping.wait())
    try:
        await asyncio.wait((building, stopping), return_when=asyncio.FIRST_COMPLETED)
        if building.done():
            building.result()
        else:
            await tasks.end([building], CLEANUP_DEADLINE)
    except BaseException:
        lifecycle.request_stop()
        await lifecycle.wait()
        raise
    finally:
        stopping.cancel()
    await lifecycle.wait()


def run_daemon(main: Callable[[Lifecycle], Awaitable[None]]) -> int:
    """Run a daemon on uvloop and return its exit status: 0 after an asked-for stop, 1 after a failure.

    `main` builds the parts, pushes their clean-ups, spawns the workers and returns; the daemon then lives
    until SIGTERM, SIGINT, `request_stop()` or the death of a worker. The failure itself is logged.
    """
    try:
        loops.run(_live(main))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        log.critical("stopped: %s", error, exc_info=not isinstance(error, OSError))
        return 1
    return 0
