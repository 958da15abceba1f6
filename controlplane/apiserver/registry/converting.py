"""Objects of one request in versions that only a webhook can make, for work that cannot wait for them: it is begun once
more with what was made.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import orjson

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.offloop import off_loop

T = TypeVar("T")
# How often work may be begun. It wants two objects for each version that somebody spoke, or for an apply a few more.
_MOST = 64


class Unconverted(Exception):
    """An object is wanted as a version of its kind that nobody has made yet."""

    def __init__(self, obj: Obj, kind: Kind) -> None:
        super().__init__(kind.api_version)
        self.obj = obj
        self.kind = kind


class Conversions:
    """What was made, or why it was not. What is given out is shared: not to be changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Obj | errors.ApiError] = {}

    def get(self, obj: Obj, kind: Kind) -> Obj:
        """Raises Unconverted, and ApiError where it cannot be made."""
        found = self._known.get(_key(obj, kind))
        if found is None:
            raise Unconverted(obj, kind)
        if isinstance(found, errors.ApiError):
            # What is raised keeps the frames it came through, and all that they speak of.
            raise copy.copy(found)
        return found

    async def made(self, obj: Obj, kind: Kind, catalog: Catalog) -> Obj:
        """The same, made where it is not yet. Raises ApiError."""
        key = _key(obj, kind)
        if key not in self._known:
            try:
                self._known[key] = await catalog.shown(obj, kind)
            except errors.ApiError as error:
                self._known[key] = copy.copy(error)
        return self.get(obj, kind)

    async def working(self, catalog: Catalog, size: int, function: Callable[[], T]) -> T:
        """What a function returns that can be begun once more where it raises Unconverted. size: as for off_loop."""
        for _ in range(_MOST):
            try:
                return await off_loop(size, function)
            except Unconverted as wanted:
                obj, kind = wanted.obj, wanted.kind
            try:
                await self.made(obj, kind, catalog)
            except errors.ApiError:
                # The function is told, and knows what follows.
                continue
        raise errors.ApiError(f"too many conversions of one {kind.kind}")


def _key(obj: Obj, kind: Kind) -> tuple[str, bytes]:
    return kind.api_version, orjson.dumps(obj)
