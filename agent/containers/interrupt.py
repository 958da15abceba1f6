"""Giving up a wait because the pod is to be terminated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """The pod is to be terminated: stop starting things."""


def check(stop: asyncio.Event) -> None:
    """Raises Interrupted once `stop` is set."""
    if stop.is_set():
        raise Interrupted


async def unless(stop: asyncio.Event, work: Awaitable[T]) -> T:
    """The result of `work`, or Interrupted as soon as `stop` is set; the work is cancelled then."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Interrupted
    finally:
        waiter.cancel()
        if not task.done():
            task.cancel()
