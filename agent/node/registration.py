"""What a Node gets when the agent joins, new or known; pure.

Source: https://kubernetes.io/docs/concepts/architecture/nodes/#self-registration-of-nodes .
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from apimachinery.objects import Obj

# Labels every node has.
_OWN_LABELS = (
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
)
# Labels the agent corrects on a node that is already there, where it has a value for them. Others that it registered
# with were its first word only: whoever changed them since is right.
_CORRECTED_LABELS = (
    *_OWN_LABELS,
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_CONTROLLER_MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"


class TaintError(ValueError):
    """A configured taint is not key[=value]:Effect."""


def parse_taint(text: str) -> Obj:
    """`key=value:Effect` or `key:Effect` as a taint."""
    pair, colon, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not colon or not key or effect not in _EFFECTS:
        raise TaintError(f"invalid taint {text!r}: write key=value:Effect, Effect one of {', '.join(_EFFECTS)}")
    taint = {"key": key, "effect": effect}
    return {**taint, "value": value} if value else taint


def initial_node(
    name: str,
    architecture: str,
    labels: Mapping[str, str],
    taints: Sequence[str],
    provider_id: str,
    status: Obj,
) -> Obj:
    """The Node to create. The not-ready taint is the API server's and the node controller's business."""
    spec: Obj = {}
    if provider_id:
        spec["providerID"] = provider_id
    if taints:
        spec["taints"] = [parse_taint(text) for text in taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**_defaults(name, architecture), **labels},
            "annotations": {_CONTROLLER_MANAGED: "true"},
        },
        "spec": spec,
        "status": status,
    }


def reconcile(existing: Obj, wanted: Obj) -> Obj | None:
    """A merge patch that brings a known Node in line, or None.

    Taints, other labels and capacity survive.
    """
    labels = existing["metadata"].get("labels") or {}
    mine = wanted["metadata"]["labels"]
    missing = {key: mine[key] for key in _CORRECTED_LABELS if key in mine and labels.get(key) != mine[key]}
    patch: Obj = {}
    if missing:
        patch["metadata"] = {"labels": missing}
    annotations = existing["metadata"].get("annotations") or {}
    if annotations.get(_CONTROLLER_MANAGED) != "true":
        patch.setdefault("metadata", {})["annotations"] = {_CONTROLLER_MANAGED: "true"}
    provider = wanted["spec"].get("providerID")
    if provider and not existing.get("spec", {}).get("providerID"):
        patch["spec"] = {"providerID": provider}
    return patch or None


def status_patch(old: Obj, new: Obj) -> Obj:
    """A merge patch of the status alone.

    Lists are sent whole; fields the agent does not own are not named.
    """
    changed = {key: copy.deepcopy(value) for key, value in new.items() if old.get(key) != value}
    for key in ("capacity", "allocatable"):
        gone = set(old.get(key) or {}) - set(new.get(key) or {})
        if key in changed and gone:
            changed[key].update(dict.fromkeys(gone))
    return {"status": changed}


def same_but_heartbeat(old: Obj, new: Obj) -> bool:
    """Whether only the conditions' heartbeat times differ, which every status moves."""

    def bare(status: Obj) -> Obj:
        conditions = [
            {key: value for key, value in condition.items() if key != "lastHeartbeatTime"}
            for condition in status.get("conditions") or []
        ]
        return {**status, "conditions": conditions}

    return bare(old) == bare(new)


def _defaults(name: str, architecture: str) -> dict[str, str]:
    values = (name, "linux", architecture, "linux", architecture)
    return dict(zip(_OWN_LABELS, values, strict=True))
