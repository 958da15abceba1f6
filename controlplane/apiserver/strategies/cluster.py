"""Nodes, limits and leases: what the server resets and fills in."""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.apiserver import ids
from controlplane.apiserver.catalog.strategy import keep_spec


def node_created(node: Obj) -> None:
    """Configuration from the API server is gone, and its fields with it."""
    node["spec"].pop("configSource", None)
    (node.get("status") or {}).pop("config", None)


def node_changed(new: Obj, old: Obj) -> None:
    if "configSource" not in old["spec"]:
        new["spec"].pop("configSource", None)


def node_status(new: Obj, old: Obj) -> None:
    keep_spec(new, old)
    if "config" not in (old.get("status") or {}):
        (new.get("status") or {}).pop("config", None)


def limits_created(limits: Obj) -> None:
    """Limits that nobody gave a name get one of chance."""
    if not limits["metadata"].get("name"):
        limits["metadata"]["name"] = ids.new()


def lease_created(lease: Obj) -> None:
    """Coordinated election is behind a feature gate that is off."""
    for field in ("strategy", "preferredHolder"):
        (lease.get("spec") or {}).pop(field, None)


def lease_changed(new: Obj, old: Obj) -> None:
    if not any(field in (old.get("spec") or {}) for field in ("strategy", "preferredHolder")):
        lease_created(new)
