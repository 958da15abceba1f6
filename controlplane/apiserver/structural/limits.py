"""How much is told of one object. Pure.

Upstream tells everything. A body of some megabytes can have a fault in each of its bytes, and each of those can be told
with a name that is a megabyte long: what is told here ends, so that it neither fills the memory nor takes for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.errors import FieldError

_MOST, _LONGEST = 10_000, 4 * 1024 * 1024


class Told:
    """What was told so far: how many things, and characters of them."""

    def __init__(self) -> None:
        self.count = self.length = 0

    def add(self, *texts: str) -> None:
        self.count += 1
        self.length += sum(map(len, texts))

    @property
    def enough(self) -> bool:
        return self.count >= _MOST or self.length >= _LONGEST


# A path by its last step, and the one that it goes on from: only what is told is written out.
Path = tuple[Any, str] | None


def written(path: Path) -> str:
    """A path as it is told."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return "".join(reversed(steps)).removeprefix(".")


class Unknown(Told):
    """The paths of what is not described, as many as are told."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def tell(self, path: Path, name: str) -> None:
        if not self.enough:
            self.paths.append(written((path, f".{name}")))
            self.add(self.paths[-1])


def first(found: Iterable[FieldError]) -> list[FieldError]:
    """As many errors as are told; what comes after them is not even looked for."""
    told, errors = Told(), list[FieldError]()
    for error in found:
        errors.append(error)
        told.add(error.field, error.text)
        if told.enough:
            break
    return errors
