"""Which conversion leads from one version of a kind to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apimachinery.apply.versions import Versions
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import Node, Schema
from controlplane.apiserver.conversion import autoscaling, events

Conversion = Callable[[Obj], Obj]

_CONVERSIONS: Mapping[tuple[str, str], Conversion] = {
    ("v1", "events.k8s.io/v1"): events.from_core,
    ("events.k8s.io/v1", "v1"): events.to_core,
    ("autoscaling/v2", "autoscaling/v1"): autoscaling.to_v1,
    ("autoscaling/v1", "autoscaling/v2"): autoscaling.to_v2,
}


def convert(obj: Obj, kind: Kind) -> Obj:
    """The object as a version of its kind; the object itself when it is of that version."""
    if obj["apiVersion"] == kind.api_version:
        return obj
    return _CONVERSIONS[obj["apiVersion"], kind.api_version](obj)


def stored(kind: Kind, obj: Obj, storage: Kind) -> Obj:
    """A client's object, of the version `kind`, as the version it is stored under."""
    return obj if kind.api_version == storage.api_version else convert(obj, storage)


class _Versions:
    """The versions of one kind, for ownership; upstream knows none across groups."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def node(self, api_version: str) -> Node | None:
        return Schema.load().node(api_version, self._kind.kind)

    def convert(self, obj: Obj, api_version: str) -> Obj | None:
        if obj["apiVersion"] == api_version:
            return obj
        found = _CONVERSIONS.get((obj["apiVersion"], api_version))
        return found(obj) if found is not None and api_version.startswith(self._kind.group + "/") else None


def versions(kind: Kind) -> Versions | None:
    """None for kinds of one version."""
    converted = kind.group and any(kind.api_version in pair for pair in _CONVERSIONS)
    return _Versions(kind) if converted else None
