"""Waiting for what comes by itself: asked again and again until a deadline, and the last answer is in the failure."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import time
from collections.abc import Callable
from typing import Any

from apimachinery import errors

SECONDS = 60.0
"""For one thing to come. No test waits less for what it expects: a machine may be slow."""
WHOLE = 150.0
"""For a scenario of several waits; a test that takes 180 s is ended by conftest."""
# What asking meets while the thing is not there yet.
_NOT_YET = (AssertionError, OSError, http.client.HTTPException, errors.NotFound)


class _Deadline:
    def __init__(self, seconds: float, what: str) -> None:
        self._seconds = seconds
        self._what = what
        self._end = time.monotonic() + seconds

    def check(self, last: object) -> None:
        """Fails once it has passed."""
        if time.monotonic() > self._end:
            raise AssertionError(f"not within {self._seconds:g} s: {self._what or 'it'}; last: {repr(last)[-3000:]}")


# Pauses grow with what was waited for, so that who waits long does not ask all the time: asking may be a program.
_FIRST, _GROWTH, _LONGEST = 0.05, 1.2, 0.5


def eventually(
    condition: Callable[[], Any], seconds: float = SECONDS, what: str = "", pause: float | None = None
) -> Any:
    """What `condition` gives once it gives something true. It is asked at `pause` seconds, else less and less often."""
    deadline, rest = _Deadline(seconds, what), pause or _FIRST
    while True:
        found, last = None, None
        try:
            found = last = condition()
        except _NOT_YET as error:
            last = error
        if found:
            return found
        deadline.check(last)
        time.sleep(rest)
        rest = pause or min(rest * _GROWTH, _LONGEST)


async def until(condition: Callable[[], Any], seconds: float = SECONDS, what: str = "", pause: float = 0.005) -> Any:
    """The same on the loop, which has its turn meanwhile; `condition` may be a coroutine function."""
    deadline = _Deadline(seconds, what)
    while True:
        found, last = None, None
        try:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            last = found
        except _NOT_YET as error:
            found, last = None, error
        if found:
            return found
        deadline.check(last)
        await asyncio.sleep(pause)
