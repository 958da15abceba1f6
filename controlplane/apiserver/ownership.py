"""Field ownership of every write: managedFields kept as the definitions' list and map types say."""

from __future__ import annotations

from apimachinery import apply
from apimachinery.apply.versions import Versions
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.timestamps import now
from controlplane.apiserver import conversion
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.registry.context import Context

Paths = tuple[tuple[str, ...], ...]

# What an endpoint cannot change, nobody comes to own through it.
_IGNORED: dict[str, Paths] = {"": (("status",),), "status": (("spec",),), "finalize": (("status",),)}


def ignored(strategy: Strategy, obj: Obj, subresource: str) -> Paths:
    """The fields an endpoint leaves alone: for kinds without a split status, none."""
    if strategy.unowned:
        return (("spec",), ("status",))
    found = _IGNORED.get(subresource, ()) if "status" in obj or subresource else ()
    if subresource == "status":
        found += tuple(("metadata", key) for key in strategy.status_keeps)
    return found


def versions(kind: Kind) -> Versions | None:
    """The versions that owners of a kind's fields may have spoken; None when there is but one."""
    return conversion.versions(kind)


def track(old: Obj | None, new: Obj, context: Context, subresource: str) -> None:
    """Record in new what its writer owns from now on, in the version that the writer speaks."""
    catalog = context.catalog
    kind = catalog.find(context.version or new["apiVersion"], new["kind"])
    node = catalog.schema.node(kind.api_version, kind.kind) if kind is not None else None
    if kind is None or node is None:
        return
    seen = conversion.convert(new, kind)
    entries = apply.track_update(
        conversion.convert(old, kind) if old is not None else None,
        seen,
        manager=context.manager,
        node=node,
        now=now(),
        subresource=subresource,
        ignored=ignored(catalog.of(kind).strategy, seen, subresource),
        versions=versions(kind),
    )
    if entries:
        new["metadata"]["managedFields"] = entries
    else:
        new["metadata"].pop("managedFields", None)
