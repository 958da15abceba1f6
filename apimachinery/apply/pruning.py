"""Taking out of an object what its applier set last time, leaves out now, and nobody else owns."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.apply.fieldset import Fields, difference, intersection, union
from apimachinery.apply.managers import Managed, Managers
from apimachinery.apply.remove import remove, with_parents
from apimachinery.apply.typed import field_set
from apimachinery.apply.versions import Versions
from apimachinery.objects import Obj
from apimachinery.schema import Node

__all__ = ["Pruning"]


class Pruning:
    """For an object of one version and its managers as they will be, each with the version it spoke."""

    def __init__(self, node: Node, version: str, managers: Managers, versions: Versions | None) -> None:
        self._node, self._version, self._versions = node, version, versions
        self._owned: dict[str, Fields] = {}
        for managed in managers.values():
            self._owned[managed.api_version] = union(self._owned.get(managed.api_version, {}), managed.fields)

    def pruned(self, merged: Obj, last: Managed) -> Obj:
        """The merged object without what only `last` had."""
        then = last.api_version
        node, there = self._seen(self._version, merged, then)
        everything, former = _parts(node, there), with_parents(node, last.fields)
        kept = remove(node, there, former) or {}
        for version in sorted(self._owned, key=lambda one: one != then):
            kept = self._with_owned(there, kept, then, version)
        # What nobody ever owned and no longer has a parent goes only if this manager had it.
        gone = intersection(difference(everything, _parts(node, kept)), former)
        _, result = self._seen(then, remove(node, there, gone) or {}, self._version)
        return result

    def _with_owned(self, there: Obj, kept: Obj, then: str, version: str) -> Obj:
        """What was kept and whatever the managers who spoke `version` own."""
        node, everything = self._seen(then, there, version)
        _, left = self._seen(then, kept, version)
        staying = union(_parts(node, left), with_parents(node, self._owned[version]))
        found = remove(node, everything, difference(_parts(node, everything), staying)) or {}
        return self._seen(version, found, then)[1]

    def _seen(self, given: str, obj: Obj, version: str) -> tuple[Node, Obj]:
        """An object of version `given` as another version has it; the object itself when there is no such one."""
        if version == given and version == self._version:
            return self._node, obj
        node = self._versions.node(version) if self._versions is not None else None
        if node is None or self._versions is None:
            return self._node, obj
        converted = obj if version == given else self._versions.convert(obj, version)
        if converted is None:
            raise errors.ApiError(
                f"failed to prune fields: failed to convert merged object to last applied version: {version}"
            )
        return node, converted


def _parts(node: Node, obj: Obj) -> Fields:
    return with_parents(node, field_set(node, obj))
