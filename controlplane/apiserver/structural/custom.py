"""The door: what one version of a definition makes of its objects. Pure."""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.apiserver.structural import defaulting, embedded, pruning
from controlplane.apiserver.structural.embedded import Malformed
from controlplane.apiserver.structural.node import Structural

__all__ = ["CustomSchema", "Malformed"]


class CustomSchema:
    """The openAPIV3Schema of one version, compiled once; objects of any size may be handed to another thread.

    schema: None for a version without one, which only old definitions have. preserves: `spec.preserveUnknownFields`.
    """

    def __init__(self, schema: Obj | None, preserves: bool = False) -> None:
        self.structural = Structural(schema) if schema is not None else None
        self._preserves = preserves

    def accept(self, obj: Obj, stored: bool = False) -> tuple[str, ...]:
        """An object as its schema lets it in, changed in place: pruned, its metadata and that of embedded objects as
        the API has it. The paths of what was unknown (`unknown field "spec.a"` makes a complaint of one).

        stored: it was read from the store, and what is of a wrong type there is dropped. Raises Malformed.
        """
        unknown = embedded.read_metadata(obj, "metadata", stored)
        if not self._preserves:
            unknown += pruning.prune(obj, self.structural)
            defaulting.drop_nulls(obj, self.structural)
        unknown += embedded.coerce(obj, self.structural, stored)
        return tuple(unknown)

    def fill(self, obj: Obj) -> None:
        """Set defaults, in place: of what a client sent, and of what was stored before there were any."""
        defaulting.fill(obj, self.structural)
