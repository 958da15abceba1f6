"""How long a client waits: the `timeout` of a request's URL."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from apimachinery import duration, errors
from controlplane.apiserver.request import Request

T = TypeVar("T")

# Whoever asks for more, or for 0, gets as much as who asks for nothing.
LONGEST = 60.0
# These go on until a side ends them.
LONG_RUNNING = frozenset(("watch",))
STREAMS = frozenset(("exec", "attach", "portforward", "proxy", "log"))
_READING = frozenset(("get", "list"))


def limit(request: Request) -> float | None:
    """The seconds that a request may take, None where its client sets no limit. Raises BadRequest."""
    text = request.param("timeout")
    if not text or request.verb in LONG_RUNNING or request.subresource in STREAMS:
        return None
    try:
        asked = duration.seconds(text)
    except duration.DurationError as error:
        raise errors.BadRequest(f"invalid timeout specified in the request URL - {error}") from error
    return asked if 0 < asked < LONGEST else None


async def within(seconds: float, work: Coroutine[Any, Any, T], verb: str) -> T:
    """What the work gives. Raises Timeout when it takes longer: reading ends then, a write under way goes on."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait((task,), timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    if verb in _READING:
        task.cancel()
        raise errors.Timeout("Timeout: request did not complete within the allotted timeout", details={})
    task.add_done_callback(_heard)
    why = "Timeout: request did not complete within requested timeout - context deadline exceeded"
    raise errors.Timeout(why, details={})


def _heard(task: asyncio.Future[Any]) -> None:
    """Its client has been answered: what becomes of a write is nobody's to hear."""
    if not task.cancelled():
        task.exception()
