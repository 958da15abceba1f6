"""What the server asks of a version of a custom resource, whatever its definition says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from apimachinery.objects import Obj
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.tables.spec import Table


@dataclass(frozen=True)
class ScalePaths:
    """Where the parts of a Scale are in an object, as members from the root; selector may be ()."""

    replicas: tuple[str, ...]
    current: tuple[str, ...]
    selector: tuple[str, ...]
    columns: Table


class Custom(Protocol):
    """One version of one custom resource, by the definition as it is now.

    rank: its place among all custom resources in discovery, smaller first. scale: None where it has none.
    """

    @property
    def rank(self) -> tuple[object, ...]: ...

    @property
    def scale(self) -> ScalePaths | None: ...

    def read(self, obj: Obj) -> Sequence[str]:
        """Make an object of this version what can be kept of it, in place; the paths of what is not described. Raises
        structural.custom.Malformed.
        """

    def converted(self, obj: Obj) -> Obj:
        """An object of another version as this one; parts may be shared, and what the schema of this one does not know
        stays. Raises LookupError where somebody else would have to be asked.
        """

    async def brought(self, obj: Obj) -> Obj:
        """The same, whoever has to be asked. Raises ApiError."""

    def ready(self, entry: Entry) -> bool:
        """Whether what is stored is what a client of this version is shown."""

    async def shown(self, entries: Sequence[Entry]) -> list[Entry]:
        """What is stored as this version shows it, with the defaults of today. Raises ApiError."""

    async def stored(self, obj: Obj) -> Obj:
        """An object of this version as it is to be stored; itself where that is the same. Raises ApiError."""
