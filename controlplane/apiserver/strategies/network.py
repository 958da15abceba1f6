"""Networking and discovery: what the server resets, and their rules."""

from __future__ import annotations

from apimachinery.objects import Obj


def slice_created(endpoint_slice: Obj) -> None:
    """deprecatedTopology belongs to an API version that is gone."""
    for endpoint in endpoint_slice.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def slice_changed(new: Obj, old: Obj) -> None:
    slice_created(new)
