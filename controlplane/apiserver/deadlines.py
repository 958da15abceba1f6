"""How long a request may take: the `timeout` of its URL, and a minute at most."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from apimachinery import duration, errors
from controlplane.apiserver.request import Request

log = logging.getLogger(__name__)

T = TypeVar("T")

# Upstream's --request-timeout. Whoever asks for more, or for 0, gets as much as who asks for nothing.
LONGEST = 60.0
# These go on until a side ends them.
LONG_RUNNING = frozenset(("watch",))
STREAMS = frozenset(("exec", "attach", "portforward", "proxy", "log"))
_READING = frozenset(("get", "list", "head", "options"))


def limit(request: Request, passed_on: bool = False) -> float | None:
    """The seconds that a request may take, None for one that goes on until a side ends it. Raises BadRequest.

    passed_on: another server answers it. What that one speaks beside HTTP goes on, too.
    """
    if request.verb in LONG_RUNNING or request.subresource in STREAMS or (passed_on and request.is_upgrade):
        return None
    text = request.param("timeout")
    if not text:
        return LONGEST
    try:
        asked = duration.seconds(text)
    except duration.DurationError as error:
        raise errors.BadRequest(f"invalid timeout specified in the request URL - {error}") from error
    return asked if 0 < asked < LONGEST else LONGEST


async def within(seconds: float | None, work: Coroutine[Any, Any, T], verb: str) -> T:
    """What the work gives. Raises Timeout when it takes longer.

    Reading ends then, and with its client. A write under way goes on, whoever listens.
    """
    if verb in _READING:
        return await (work if seconds is None else _read(seconds, work))
    return await _written(seconds, asyncio.ensure_future(work))


async def _written(seconds: float | None, task: asyncio.Future[T]) -> T:
    waiting, is_late = asyncio.shield(task), False

    def end(waiting: asyncio.Future[T]) -> None:
        nonlocal is_late
        is_late = True
        waiting.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, end, waiting) if seconds is not None else None
    try:
        return await waiting
    except asyncio.CancelledError:
        task.add_done_callback(_heard)
        if not is_late:
            raise
        why = "Timeout: request did not complete within requested timeout - context deadline exceeded"
        raise errors.Timeout(why, details={}) from None
    finally:
        if timer is not None:
            timer.cancel()
        # What is raised keeps this frame, and they keep what is raised: the body of each refused write would lie in
        # memory until the collector looks at everything.
        del task, waiting


async def _read(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """In the caller's own task: one of its own for each would cost as much as a small answer does."""
    task, is_late = asyncio.current_task(), False
    assert task is not None

    def end() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, end)
    try:
        return await work
    except asyncio.CancelledError:
        if not is_late:
            raise
        if hasattr(task, "uncancel"):  # Python 3.11
            task.uncancel()
        raise errors.Timeout("Timeout: request did not complete within the allotted timeout", details={}) from None
    finally:
        timer.cancel()


def _heard(task: asyncio.Future[Any]) -> None:
    """Its client has been answered, or has gone: only a fault of ours is still worth a word."""
    error = task.exception() if not task.cancelled() else None
    if error is not None and not isinstance(error, errors.ApiError | ConnectionError):
        log.error("a write that its client did not wait for failed: %r", error, exc_info=error)
