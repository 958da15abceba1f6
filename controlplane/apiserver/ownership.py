"""Field ownership of every write: managedFields kept as the definitions' list and map types say."""

from __future__ import annotations

from apimachinery import apply
from apimachinery.schema import Schema
from apimachinery.timestamps import now
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.request import Obj

# What an endpoint cannot change, nobody comes to own through it.
_IGNORED: dict[str, tuple[tuple[str, ...], ...]] = {"": (("status",),), "status": (("spec",),)}


def ignored(obj: Obj, subresource: str) -> tuple[tuple[str, ...], ...]:
    """The fields an endpoint leaves alone: for kinds without a split status, none."""
    return _IGNORED.get(subresource, ()) if "status" in obj or subresource else ()


def track(old: Obj | None, new: Obj, context: Context, subresource: str) -> None:
    """Record in new what its writer owns from now on."""
    node = Schema.load().node(new["apiVersion"], new["kind"])
    if node is None:
        return
    entries = apply.track_update(
        old,
        new,
        manager=context.manager,
        node=node,
        now=now(),
        subresource=subresource,
        ignored=ignored(new, subresource),
    )
    if entries:
        new["metadata"]["managedFields"] = entries
    else:
        new["metadata"].pop("managedFields", None)
