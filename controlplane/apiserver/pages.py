"""Which objects a list shows: those of a revision, or of now, a page at a time. Shared by who lists and who deletes."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import errors
from apimachinery.errors import Cause
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver import continuing
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.listing import ListOptions
from controlplane.apiserver.registry import Registry

# Upstream waits this long for a revision that a client has seen elsewhere.
_FRESH = 3.0
# What upstream keeps in no cache of its own: it reads them from the store, which knows limits at any revision.
_UNCACHED = frozenset({("", "events"), ("events.k8s.io", "events")})


async def page(
    registry: Registry, kind: Kind, options: ListOptions, selection: Selection
) -> tuple[Sequence[Entry], Obj]:
    """The entries of a list as this version of their kind shows them, and its metadata. Raises BadRequest, Expired,
    Timeout, and what a conversion raises.
    """
    custom = registry.catalog.custom(kind)
    if custom is None or not selection.fields:
        entries, at, start = await _entries(registry, kind, options, selection)
    else:
        # Fields are those of the version that is spoken.
        found, at, start = await _entries(registry, kind, options, selection.wide)
        entries = [entry for entry in await custom.shown(found) if selection.matches(entry)]
    if start:
        entries = continuing.rest(entries, start, selection.namespace)
    metadata: Obj = {"resourceVersion": str(at)}
    limit = _limit(kind, options)
    if limit > 0 and len(entries) > limit:
        remaining = len(entries) - limit
        entries = entries[:limit]
        metadata["continue"] = continuing.encode(at, entries[-1], selection.namespace)
        if selection.plain:
            metadata["remainingItemCount"] = remaining
    elif limit > 0 and len(entries) == limit and _goes_on(registry, kind, entries[-1], at, selection):
        metadata["continue"] = continuing.encode(at, entries[-1], selection.namespace)
    return await registry.shown(kind, entries), metadata


async def _entries(
    registry: Registry, kind: Kind, options: ListOptions, selection: Selection
) -> tuple[Sequence[Entry], int, str]:
    collection, cache = registry.collection(kind), registry.cache
    if options.token:
        token = continuing.decode(options.token)
        if options.revision:
            raise errors.BadRequest("specifying resource version is not allowed when using continue")
        if token.revision < 0:
            return collection.select(selection), cache.revision, token.start
        if token.revision < collection.floor:
            raise continuing.expired(token)
        await reach(registry, token.revision)
        return collection.at(token.revision, selection), token.revision, token.start
    if options.revision:
        await reach(registry, options.revision)
        exact = options.match == "Exact" or (not options.match and options.limit > 0)
        if exact:
            if options.revision < collection.floor:
                raise errors.Expired("The resourceVersion for the provided list is too old.")
            return collection.at(options.revision, selection), options.revision, ""
    elif options.revision is None:
        await registry.fresh()
    return collection.select(selection), cache.revision, ""


def _limit(kind: Kind, options: ListOptions) -> int:
    """How many a page holds, 0 for all: whoever is content with any revision gets all that a cache has."""
    cached = (kind.group, kind.plural) not in _UNCACHED
    return 0 if options.revision == 0 and cached else options.limit


def _goes_on(registry: Registry, kind: Kind, last: Entry, at: int, selection: Selection) -> bool:
    """Whether anything at all comes after a page that selectors have filled: upstream has not looked at it yet."""
    if selection.plain or selection.node or (selection.name and (selection.namespace or not kind.namespaced)):
        return False
    collection, scope = registry.collection(kind), Selection(selection.namespace)
    there = collection.select(scope) if at == registry.cache.revision else collection.at(at, scope)
    return (there[-1].namespace, there[-1].name) != (last.namespace, last.name)


async def reach(registry: Registry, revision: int) -> None:
    """Wait until a revision is known here. Raises Timeout."""
    cache = registry.cache
    if await cache.reach(revision, _FRESH):
        return
    raise errors.Timeout(
        f"Timeout: Too large resource version: {revision}, current: {cache.revision}",
        details={"causes": [Cause("ResourceVersionTooLarge", "Too large resource version").to_dict()]},
        retry_after=1,
    )
