"""A cloud that does not answer has failed: each call of a provider's part ends after some time, as a CloudError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from apimachinery.kit import tasks
from controlplane.cloud.interface import CloudError

T = TypeVar("T")


class _Part:
    def __init__(self, part: object, seconds: float) -> None:
        self._part = part
        self._seconds = seconds

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        asked = getattr(self._part, name)

        async def answered(*arguments: Any) -> Any:
            try:
                return await tasks.within(asked(*arguments), self._seconds)
            except asyncio.TimeoutError:
                raise CloudError(f"the cloud did not answer {name!r} within {self._seconds:g} s") from None

        return answered


def bounded(part: T, seconds: float) -> T:
    """The part (Instances, LoadBalancers, Routes; or None), whose calls are cancelled after `seconds`."""
    return part if part is None else cast(T, _Part(part, seconds))
