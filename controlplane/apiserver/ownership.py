"""Field ownership of every write: managedFields kept as the definitions' list and map types say."""

from __future__ import annotations

from apimachinery import apply, errors
from apimachinery.apply.versions import Versions
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import Node
from apimachinery.timestamps import now
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.catalog.strategy import Paths, Strategy
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.registry.converting import Conversions

# What an endpoint cannot change, nobody comes to own through it.
_IGNORED: dict[str, Paths] = {"": (("status",),), "status": (("spec",),), "finalize": (("status",),)}


def ignored(strategy: Strategy, obj: Obj, subresource: str) -> Paths:
    """The fields an endpoint leaves alone: for kinds without a split status, none."""
    if subresource in strategy.unowned:
        return strategy.unowned[subresource]
    if strategy.counts_status and not subresource:
        return ()
    found = _IGNORED.get(subresource, ()) if "status" in obj or subresource else ()
    if subresource == "status":
        found += tuple(("metadata", key) for key in strategy.status_keeps)
    return found


class _Versions:
    """The versions of one kind; upstream knows none across groups."""

    def __init__(self, kind: Kind, catalog: Catalog, conversions: Conversions | None) -> None:
        self._kind, self._catalog, self._conversions = kind, catalog, conversions

    def node(self, api_version: str) -> Node | None:
        return self._catalog.schema.node(api_version, self._kind.kind)

    def convert(self, obj: Obj, api_version: str) -> Obj | None:
        if obj["apiVersion"] == api_version:
            return obj
        other = self._catalog.find(api_version, self._kind.kind)
        if other is None or other.group != self._kind.group:
            return None
        try:
            return self._catalog.convert(obj, other)
        except LookupError:
            # A webhook says how it looks there.
            return None if self._conversions is None else self._conversions.get(obj, other)


def versions(kind: Kind, context: Context, new: bool = False) -> Versions | None:
    """The versions that owners of a kind's fields may have spoken; None when there is but one. new: of what has no
    owners yet but those that it brings, for whom no webhook is asked.
    """
    catalog = context.catalog
    several = kind.group and catalog.is_converted(kind)
    return _Versions(kind, catalog, None if new else context.conversions) if several else None


def track(old: Obj | None, new: Obj, context: Context, subresource: str) -> None:
    """Record in new what its writer owns from now on, in the version that the writer speaks. Raises Unconverted."""
    catalog = context.catalog
    kind = catalog.find(context.version or new["apiVersion"], new["kind"])
    node = catalog.schema.node(kind.api_version, kind.kind) if kind is not None else None
    if kind is None or node is None:
        return
    seen = catalog.convert(new, kind)
    try:
        entries = apply.track_update(
            catalog.convert(old, kind) if old is not None else None,
            seen,
            manager=context.manager,
            node=node,
            now=now(),
            subresource=subresource,
            ignored=ignored(catalog.of(kind).strategy, seen, subresource),
            versions=versions(kind, context, new=old is None),
        )
    except errors.ApiError:
        # Nobody says how it looks in a version that an owner spoke: upstream forgets them all then.
        entries = []
    if entries:
        new["metadata"]["managedFields"] = entries
    else:
        new["metadata"].pop("managedFields", None)


def track_review(review: Obj, catalog: Catalog, manager: str) -> None:
    """As track, for what is answered and not kept: of its status, too, should it come with one."""
    review["metadata"].pop("managedFields", None)
    if entries := of_part(review, catalog, manager, ""):
        review["metadata"]["managedFields"] = entries


def of_part(part: Obj, catalog: Catalog, manager: str, subresource: str) -> list[Obj]:
    """The managedFields of what is made at a subresource and not kept, and is no resource of its own."""
    node = catalog.schema.node(part["apiVersion"], part["kind"])
    if node is None:
        return []
    return apply.track_update(None, part, manager=manager, node=node, now=now(), subresource=subresource)
