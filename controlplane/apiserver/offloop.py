"""Large pieces of work, done beside the event loop so that everybody else is answered meanwhile.

What is large is said by bytes: of a body, or of the object that is changed. It is done one piece after the other: two
threads would only take the interpreter from each other. But no bytes bound how long a schema, or whatever else others
have written, takes with an object: a piece that has been at it for long no longer keeps the next from beginning. Too
many waiting pieces are refused, as upstream refuses more requests than it can have in flight.

A function that is handed over works on what is its caller's alone, or only reads; it never touches the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from apimachinery import errors
from apimachinery.cel.evaluation.budget import Unfinished
from apimachinery.kit import memory

LARGE = 32 * 1024
"""Bytes from which on work is done beside the loop: some milliseconds of it."""
_WAITING = 64
# Seconds of a processor after which a piece has been at it for long; and how many may work then, each of which costs
# the loop a millisecond whenever it wants the interpreter.
_LONG, _SIDE_BY_SIDE = 1.0, 4

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(_SIDE_BY_SIDE, "large-work")
_pieces = 0


class _Turns:
    """Who may work: one, and the next beside those that have been at it for long."""

    def __init__(self) -> None:
        self._ended = threading.Condition()
        # By the clock of each one's thread, what it said when the turn began.
        self._since: dict[int, float] = {}

    @contextlib.contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for a turn, in a thread of its own, and end it."""
        clock = time.pthread_getcpuclockid(threading.get_ident())
        with self._ended:
            while (rest := self._rest()) > 0:
                self._ended.wait(rest)
            self._since[clock] = time.clock_gettime(clock)
        try:
            yield
        finally:
            with self._ended:
                del self._since[clock]
                self._ended.notify()

    def _rest(self) -> float:
        """Seconds until all have been at it for long, at the earliest."""
        return max((_LONG + since - time.clock_gettime(clock) for clock, since in self._since.items()), default=0.0)


_turns = _Turns()


def _done(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The collector would look at some hundred thousand new values again and again; also afterwards, at those that only
    a refusal still holds, by the frames it came through.
    """
    with _turns.mine(), memory.filling():
        try:
            return function(*args, **kwargs)
        except Exception as error:
            told: BaseException | None = error
            while told is not None:
                traceback.clear_frames(told.__traceback__)
                told = told.__cause__ or told.__context__
            raise


async def off_loop(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns or raises. Raises TooManyRequests when too much is waiting."""
    if size < LARGE:
        return function(*args, **kwargs)
    if _pieces >= _WAITING:
        raise errors.TooManyRequests("too many large requests, please try again later", retry_after=1)
    return await beside_loop(function, *args, **kwargs)


async def begun(size: int, function: Callable[[], T]) -> T:
    """The same for a function that can be begun once more: where it raises Unfinished on the loop, since `on_loop`
    told it that others wait, it is begun beside it.
    """
    if size >= LARGE:
        return await off_loop(size, function)
    try:
        return function()
    except Unfinished:
        return await off_loop(LARGE, function)


def on_loop() -> bool:
    """Whether others wait for what is done here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def beside_loop(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for what has been taken on already, however much is waiting."""
    global _pieces
    _pieces += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, lambda: _done(function, *args, **kwargs))
    finally:
        _pieces -= 1
