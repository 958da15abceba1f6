"""Calls done one after the other by a thread of their own, for a loop that waits for them.

What an executor does, for calls that are shorter than an executor's way to its thread and back: that takes 190
microseconds there and 70 back where the thread has slept meanwhile, and here 60 and 25.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

T = TypeVar("T")
_EXIT_SECONDS = 10.0
"""how long the interpreter's end waits for a call under way"""


class Worker:
    """One thread, begun by the first call. `call` belongs to loops, `wait` to threads that may block."""

    def __init__(self, name: str) -> None:
        """`name`: the thread's, to Python; to the kernel it has the process's."""
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._lock = threading.Lock()
        self._begun = self._closed = False
        self._asked = self._done = 0
        """calls that were put into the queue, by whom it may be; and taken from it, by the thread alone"""

    async def call(self, seconds: float, fn: Callable[..., T], *args: Any) -> T:
        """What `fn` returns or raises; asyncio.TimeoutError after so many seconds. A call whose caller has gone before
        its turn is left out, one under way goes on. RuntimeError once closed."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[T] = loop.create_future()

        def do() -> None:
            if told.done():
                return
            result: Any = None
            raised: BaseException | None = None
            try:
                result = fn(*args)
            except BaseException as error:
                raised = error
            # RuntimeError: the loop has closed, and nobody waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, told, result, raised)

        # The thread needs the interpreter as soon as it is awake: nothing is left to do here but to wait.
        timer = loop.call_later(seconds, _late, told)
        try:
            self._put(do)
            return await told
        finally:
            timer.cancel()

    def wait(self, seconds: float, fn: Callable[..., T], *args: Any) -> T:
        """The same for a thread that blocks meanwhile; TimeoutError."""
        told: futures.Future[T] = futures.Future()

        def do() -> None:
            if told.set_running_or_notify_cancel():
                try:
                    told.set_result(fn(*args))
                except BaseException as error:
                    told.set_exception(error)

        self._put(do)
        try:
            return told.result(seconds)
        except futures.TimeoutError as late:  # before Python 3.11 another class than the built-in one
            told.cancel()
            raise TimeoutError(f"no answer within {seconds:g} s") from late

    @property
    def idle(self) -> bool:
        """Whether no call is under way or waits: nobody else's can begin before the asking thread lets one."""
        with self._lock:
            return self._asked == self._done

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Take no more calls; those there are and `last` are still done. Returns at once, also a second time."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if last is not None:
                self._begin()
                self._asked += 1
                self._queue.put(last)
            self._queue.put(None)

    def _put(self, do: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the thread {self._thread.name} has been ended")
            self._begin()
            self._asked += 1
            self._queue.put(do)

    def _begin(self) -> None:
        if not self._begun:
            # Raises RuntimeError where no more threads may be: the next call tries again.
            self._thread.start()
            self._begun = True
            _at_work.add(self)

    def _work(self) -> None:
        while (do := self._queue.get()) is not None:
            do()
            self._done += 1
            # Or all that the call was given would stay until the next one: megabytes of rules perhaps.
            del do
        _at_work.discard(self)

    def _end(self) -> None:
        self.close()
        self._thread.join(_EXIT_SECONDS)


_at_work: set[Worker] = set()
"""those whose threads have begun and not ended"""


@atexit.register
def _end_all() -> None:
    # A thread in the middle of a library must not see the interpreter go.
    for worker in list(_at_work):
        worker._end()


def _tell(told: asyncio.Future[Any], result: Any, raised: BaseException | None) -> None:
    if told.done():
        return
    if raised is not None:
        told.set_exception(raised)
    else:
        told.set_result(result)


def _late(told: asyncio.Future[Any]) -> None:
    if not told.done():
        told.set_exception(asyncio.TimeoutError())
