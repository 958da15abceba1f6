"""An object that is written, as whoever is asked about it wants to see it."""

from __future__ import annotations

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.taking import is_own_body
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.registry.converting import Conversions
from controlplane.apiserver.subresources.scale import paths_of, scale_of

# What webhooks have made of the objects of this request: many may want to see the same.
_CONVERTED = "converted"


async def seen(admission: Admission, obj: Obj | None, kind: Kind, catalog: Catalog) -> Obj | None:
    """An object in a version; a workload's scale as a Scale. Shared: not to be changed. Raises ApiError where the
    conversion webhook of its definition does not say how it looks.
    """
    if obj is None or is_own_body(admission):
        return obj
    if admission.subresource == "scale":
        return scale_of(obj, paths_of(catalog, admission.kind))
    if obj["apiVersion"] == kind.api_version or catalog.custom(kind) is None:
        return catalog.convert(obj, kind)
    known = admission.memory.setdefault(_CONVERTED, Conversions())
    assert isinstance(known, Conversions)
    return await known.made(obj, kind, catalog)


async def both(admission: Admission, kind: Kind, catalog: Catalog) -> tuple[Obj | None, Obj | None]:
    """The new object and the old one. Raises as seen() does."""
    return await seen(admission, admission.obj, kind, catalog), await seen(admission, admission.old, kind, catalog)
