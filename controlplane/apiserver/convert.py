"""Objects stored under one version, shown and taken under another."""

from __future__ import annotations

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.request import Obj


def shown(kind: Kind, entry: Entry) -> Obj:
    """An entry's object as a version of its kind. Shared: not to be changed."""
    obj = entry.obj
    if obj["apiVersion"] == kind.api_version:
        return obj
    return {**obj, "kind": kind.kind, "apiVersion": kind.api_version}


def stored(kind: Kind, obj: Obj, storage: Kind) -> Obj:
    """A client's object as the version it is stored under; may change obj."""
    if kind.api_version != storage.api_version:
        obj["kind"], obj["apiVersion"] = storage.kind, storage.api_version
    return obj
