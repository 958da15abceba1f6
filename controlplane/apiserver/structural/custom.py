"""The door: what one version of a definition makes of its objects. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.structural import conforming, defaulting, embedded, pruning, scaled, unique
from controlplane.apiserver.structural.correlating import Correlated
from controlplane.apiserver.structural.embedded import Malformed
from controlplane.apiserver.structural.fitting import Fits, compiled
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

    def check(
        self,
        new: Obj,
        old: Obj | None = None,
        *,
        found: Sequence[FieldError] = (),
        scale: Obj | None = None,
        status: bool = False,
    ) -> list[FieldError]:
        """Everything that is wrong with an object that was accepted and filled in, in upstream's order.

        old: what it was, in this version, for a change; what of it is as it was is not judged anew. found: what is
        wrong with its metadata, which is judged elsewhere. scale: the version's subresource. status: the status alone
        is written.
        """
        every = [*found, *self._described(new, old, status), *scaled.check(new, scale, status)]
        if not status:
            every += embedded.check(new, self.structural)
        again = unique.check(new, self.structural)
        if again and (old is None or not unique.check(old, self.structural)):
            every += again
        return every

    def _described(self, new: Obj, old: Obj | None, status: bool) -> list[FieldError]:
        if self.structural is None:
            return []
        part = self.structural.properties.get("status") if status else self.structural
        if part is None or (status and "status" not in new):
            return []
        value = new["status"] if status else new
        if (self._status_fits if status else self._fits)(value):
            return []
        before = Correlated(new, old, self.structural) if old is not None else None
        if status and before is not None:
            before = before.key("status")
        return conforming.wrong(value, part.raw, "status" if status else "", before)

    @cached_property
    def _fits(self) -> Fits:
        assert self.structural is not None
        return compiled(self.structural.raw)

    @cached_property
    def _status_fits(self) -> Fits:
        assert self.structural is not None
        return compiled(self.structural.properties["status"].raw)
