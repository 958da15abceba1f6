"""The door: what one version of a definition makes of its objects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery import errors
from apimachinery.cel.evaluation.budget import Unfinished
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.structural import (
    conforming,
    defaulting,
    embedded,
    pruning,
    scaled,
    unique,
    validations,
    weighing,
)
from controlplane.apiserver.structural.correlating import Correlated
from controlplane.apiserver.structural.embedded import Malformed
from controlplane.apiserver.structural.fitting import Fits, compiled
from controlplane.apiserver.structural.node import Structural
from controlplane.apiserver.structural.once import Once

__all__ = ["CustomSchema", "Malformed"]

# After such errors a value is not what expressions were written for.
_BLOCKING = frozenset(f"FieldValue{what}" for what in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"))
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


class CustomSchema:
    """The openAPIV3Schema of one version, compiled once; objects of any size may be handed to another thread.

    schema: None for a version without one, which only old definitions have. preserves: `spec.preserveUnknownFields`.
    """

    def __init__(self, schema: Obj | None, preserves: bool = False) -> None:
        self.structural = Structural(schema) if schema is not None else None
        self._preserves = preserves
        self._read = False

    def prepare(self) -> None:
        """Make what would be made for the first object: where the schema is large, others would wait for it."""
        if self.structural is None:
            return
        _ = self.weight, self.structural.fills, self.structural.embeds, self.structural.keyed, self._fits, self._rules
        if "status" in self.structural.properties:
            _ = self._status_fits
        if self._rules is not None and not self._rules.many:
            # Many are read for the first object, beside the loop.
            self._rules.read()
            self._read = True

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

    @Once
    def weight(self) -> int:
        """How many bytes of others a byte of its objects is worth in work."""
        return 1 if self.structural is None else weighing.weight(self.structural)

    def fill(self, obj: Obj, room: int) -> bool:
        """Set defaults, in place: of what a client sent, and of what was stored before there were any. False where they
        come to more bytes than there is room for: then some are not set.
        """
        return defaulting.fill(obj, self.structural, room)

    def check(
        self,
        new: Obj,
        old: Obj | None = None,
        *,
        found: Sequence[FieldError] = (),
        scale: Obj | None = None,
        status: bool = False,
        warn: Callable[[str], None] | None = None,
        at_once: bool = False,
    ) -> list[FieldError]:
        """Everything that is wrong with an object that was accepted and filled in, in upstream's order.

        old: what it was, in this version, for a change; what of it is as it was is not judged anew. found: what is
        wrong with its metadata, which is judged elsewhere. scale: the version's subresource. status: the status alone
        is written. warn: told of what expressions have against parts that are as they were. at_once: Unfinished
        (apimachinery.cel) is raised where expressions take longer than others can wait; it is begun once more then,
        without, beside the loop.
        """
        every = [*found, *self._described(new, old, status), *scaled.check(new, scale, status)]
        if not status:
            every += embedded.check(new, self.structural)
        again = unique.check(new, self.structural)
        if again and (old is None or not unique.check(old, self.structural)):
            every += again
        return every + self._ruled(new, old, every, warn, at_once)

    def _ruled(
        self,
        new: Obj,
        old: Obj | None,
        found: list[FieldError],
        warn: Callable[[str], None] | None,
        at_once: bool,
    ) -> list[FieldError]:
        if self._rules is None or self.structural is None:
            return []
        if any(error.reason in _BLOCKING for error in found):
            return [errors.invalid("<nil>", None, _UNCHECKED)]
        if not self._read:
            if at_once and self._rules.many:
                # Reading them takes longer than any of them.
                raise Unfinished
            # All, whatever this object has: the next one may reach further, where others would wait.
            self._rules.read()
            self._read = True
        before = Correlated(new, old, self.structural) if old is not None else None
        purse = validations.Purse(at_once=validations.AT_ONCE if at_once else None)
        told = validations.check(self._rules, new, old, before, purse)
        if warn is not None:
            for text in told.warnings:
                warn(text)
        return told.errors

    @Once
    def _rules(self) -> validations.Validations | None:
        return validations.validations(self.structural) if self.structural is not None else None

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

    @Once
    def _fits(self) -> Fits:
        assert self.structural is not None
        return compiled(self.structural.raw)

    @Once
    def _status_fits(self) -> Fits:
        assert self.structural is not None
        return compiled(self.structural.properties["status"].raw)
