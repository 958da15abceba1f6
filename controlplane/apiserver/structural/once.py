"""Properties that are worked out once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """functools.cached_property without the lock that it has until Python 3.12: whoever works something out of a large
    schema in a thread holds it against everybody who asks the same of another schema, the event loop above all.

    Two threads at once may both work it out: it has to come to the same.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        found = owner.__dict__[self._make.__name__] = self._make(owner)
        return found
