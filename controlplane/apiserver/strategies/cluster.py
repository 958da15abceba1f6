"""Nodes, quotas, classes, leases, budgets and autoscalers: what the server resets, and their rules."""

from __future__ import annotations

from controlplane.apiserver.registry.strategy import keep_spec
from controlplane.apiserver.request import Obj
from controlplane.apiserver.strategies.rows import Rows, again, then
from controlplane.apiserver.validation import autoscaling, core, nodes, policy, quotas


def node_created(node: Obj) -> None:
    """Configuration from the API server is gone, and its fields with it."""
    node["spec"].pop("configSource", None)


def node_changed(new: Obj, old: Obj) -> None:
    if "configSource" not in old["spec"]:
        node_created(new)


def node_status(new: Obj, old: Obj) -> None:
    keep_spec(new, old)
    if "config" not in (old.get("status") or {}):
        (new.get("status") or {}).pop("config", None)


def lease_created(lease: Obj) -> None:
    """Coordinated election is behind a feature gate that is off."""
    for field in ("strategy", "preferredHolder"):
        (lease.get("spec") or {}).pop(field, None)


def lease_changed(new: Obj, old: Obj) -> None:
    if not any(field in (old.get("spec") or {}) for field in ("strategy", "preferredHolder")):
        lease_created(new)


ROWS: Rows = {
    "nodes": {
        "prepare_create": node_created,
        "prepare_update": node_changed,
        "prepare_status": node_status,
        "validate": nodes.node,
        "validate_update": nodes.node_change,
        "validate_status": nodes.node_status,
    },
    "leases.coordination.k8s.io": {
        "prepare_create": lease_created,
        "prepare_update": lease_changed,
        **again(core.lease),
    },
    "limitranges": again(quotas.limit_range),
    "resourcequotas": {**then(quotas.quota, quotas.quota_change), "validate_status": quotas.quota_status},
    "priorityclasses.scheduling.k8s.io": {
        "generation_stands": True,
        **then(nodes.priority_class, nodes.priority_class_change),
    },
    "runtimeclasses.node.k8s.io": then(nodes.runtime_class, nodes.runtime_class_change),
    "poddisruptionbudgets.policy": {**again(policy.budget), "validate_status": policy.budget_status},
    "horizontalpodautoscalers.autoscaling": {
        **again(autoscaling.autoscaler),
        "validate_status": autoscaling.autoscaler_status,
    },
}
