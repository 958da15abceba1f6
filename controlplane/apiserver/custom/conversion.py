"""Between the versions of a definition: by their name alone, or as a webhook says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apimachinery.objects import Obj


class Converter(Protocol):
    """alone: it asks nobody, so relabelled() says the same."""

    @property
    def alone(self) -> bool: ...

    async def convert(self, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        """Objects of other versions as this one; they are the caller's own. Raises ApiError."""


def relabelled(obj: Obj, api_version: str) -> Obj:
    """The object, called one of another version."""
    return {**obj, "apiVersion": api_version}


class ByName:
    """`strategy: None`."""

    alone = True

    async def convert(self, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        return [relabelled(obj, api_version) for obj in objects]
