"""One object in the several versions of its kind: what changed, said in the version that each manager spoke."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from apimachinery.apply.compare import Comparison, compare
from apimachinery.apply.fieldset import of_names, recursive_difference
from apimachinery.objects import Obj
from apimachinery.schema import Node

__all__ = ["Comparisons", "Versions", "tracked"]


class Versions(Protocol):
    """The other versions of a kind; None for one that the kind does not have. What convert() raises where an object
    cannot be had passes through.
    """

    def node(self, api_version: str) -> Node | None: ...

    def convert(self, obj: Obj, api_version: str) -> Obj | None: ...


class Comparisons:
    """What differs between two objects, in any version, worked out once each; `version` is the objects' own."""

    def __init__(
        self,
        node: Node,
        old: Obj,
        new: Obj,
        version: str,
        ignored: Iterable[tuple[str, ...]] = (),
        versions: Versions | None = None,
    ) -> None:
        self._old, self._new, self._versions, self._ignored = old, new, versions, tuple(ignored)
        everything = compare(node, old, new)
        # Whether anything at all differs, what the endpoint does not touch included.
        self.same = everything.same
        self.own = tracked(everything, self._ignored)
        self._known: dict[str, Comparison | None] = {version: self.own}

    def at(self, version: str) -> Comparison | None:
        """None when the kind has no such version."""
        if version not in self._known:
            self._known[version] = self._converted(version)
        return self._known[version]

    def _converted(self, version: str) -> Comparison | None:
        if self._versions is None:
            return None
        node = self._versions.node(version)
        old, new = self._versions.convert(self._old, version), self._versions.convert(self._new, version)
        if node is None or old is None or new is None:
            return None
        return tracked(compare(node, old, new), self._ignored)


def tracked(found: Comparison, ignored: Iterable[tuple[str, ...]]) -> Comparison:
    """A comparison without the fields that the endpoint does not touch."""
    out = of_names(tuple(ignored))
    if not out:
        return found
    return Comparison(
        recursive_difference(found.added, out),
        recursive_difference(found.modified, out),
        recursive_difference(found.removed, out),
    )
