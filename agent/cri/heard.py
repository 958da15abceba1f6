"""What the runtime last said, believed while it is silent for a moment.

One call that fails says nothing of the node: a runtime that is restarted, or too busy to answer, is there again in
seconds, and a node that is called NotReady meanwhile loses its endpoints. Upstream gives it 30 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from agent.cri.errors import CriError
from apimachinery.kit.tasks import within

GRACE_SECONDS = 30.0
# Far more than the runtime needs to say who it is, far less than whoever asks wants to wait.
QUICK_SECONDS, LIST_SECONDS = 2.0, 10.0

T = TypeVar("T")


class Heard(Generic[T]):
    """One question and its last answer. `patience`: seconds to wait for a new one; `clock` in seconds."""

    def __init__(
        self,
        ask: Callable[[], Coroutine[Any, Any, T]],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._patience = patience
        self._clock = clock
        self.last: T | None = None
        """The last answer, however old."""
        self._since = clock()
        self._asked = 0
        self._heard = 0
        """Which asking `last` answers."""

    async def get(self) -> T:
        """What the runtime says, or said less than 30 s ago. Raises CriError, asyncio.TimeoutError."""
        self._asked += 1
        asking = self._asked
        try:
            answer = await within(self._ask(), self._patience)
        except (CriError, asyncio.TimeoutError):
            if self.last is None or not self.in_grace:
                raise
            return self.last
        # Several ask at once, and an answer that was long under way is older than what was heard meanwhile.
        if asking > self._heard:
            self.last, self._heard = answer, asking
        self._since = self._clock()
        return answer

    @property
    def in_grace(self) -> bool:
        """Whether a silence, which may be as old as this agent, is still too short to mean anything."""
        return self._clock() - self._since < GRACE_SECONDS
