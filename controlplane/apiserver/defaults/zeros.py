"""Zero values: which fields show theirs, which drop it.

The definitions say which fields are required; those are always shown. What they do not say is which optional
fields are values (an explicit zero is the same as nothing) and which are references (an explicit zero is
kept): apimachinery.data says so for scalars, the tables here for the rest. Source: the API's documented objects as
upstream prints them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apimachinery.data import wire_fields
from apimachinery.schema import Node

STRUCT, SHOWN, DROP, KEEP = "struct", "shown", "drop", "keep"

# Optional structs that are shown, empty or not, with everything below them.
_STRUCTS = frozenset(
    (
        "core.v1.Container.resources",
        "core.v1.EphemeralContainer.resources",
        "core.v1.PodTemplate.template",
        "core.v1.PersistentVolumeClaimSpec.resources",
        "core.v1.ContainerStatus.state",
        "core.v1.ContainerStatus.lastState",
        "core.v1.Event.source",
        "core.v1.ServiceStatus.loadBalancer",
        "core.v1.NodeStatus.daemonEndpoints",
        "core.v1.NodeStatus.nodeInfo",
        "core.v1.NodeDaemonEndpoints.kubeletEndpoint",
        "networking.v1.IngressStatus.loadBalancer",
        "apps.v1.DeploymentSpec.strategy",
        "apps.v1.ReplicaSetSpec.template",
        "apps.v1.DaemonSetSpec.updateStrategy",
        "apps.v1.StatefulSetSpec.updateStrategy",
        "discovery.v1.Endpoint.conditions",
        "core.v1.PodTemplateSpec.spec",
        "networking.v1.NetworkPolicySpec.podSelector",
        "resource.v1.ResourceClaimSpec.devices",
        "batch.v1.JobTemplateSpec.spec",
        "apiextensions.v1.CustomResourceDefinitionStatus.acceptedNames",
    )
)
# Optional by the definitions and by what is known of the fields, yet always shown.
_SHOWN = frozenset(
    (
        "core.v1.LimitRangeSpec.limits",
        "core.v1.ResourceFieldSelector.divisor",
        "networking.v1.HTTPIngressPath.pathType",
        "apiextensions.v1.CustomResourceDefinitionStatus.storedVersions",
    )
)


def rule(type_name: str, field: str, node: Node, required: bool, root: bool) -> str:
    """How an absent or zero value of a field is treated."""
    name, declared = f"{type_name}.{field}", _fields(type_name).get(field)
    reference = declared is not None and declared.pointer
    if node.shape == "struct":
        if name in _STRUCTS or (required and not reference) or (root and field in ("spec", "status")):
            return STRUCT
        if field == "metadata" and node.type_name.endswith(".ObjectMeta"):
            return STRUCT
        return SHOWN if required and not (declared and declared.omit_zero) else KEEP
    always = (declared is not None and declared.always) or _is_shown_time(declared, node)
    if always or name in _SHOWN or (required and not (declared and declared.omit_zero)):
        return SHOWN
    if node.shape in ("string", "boolean", "int32", "int64", "int-or-string"):
        return DROP if declared is not None and not reference else KEEP
    return KEEP


def _is_shown_time(declared: wire_fields.Field | None, node: Node) -> bool:
    """A time that is a value is null when absent: Go's zero time is not empty, unless its field says so."""
    is_time = node.shape in ("time", "microtime")
    return is_time and declared is not None and not declared.pointer and not declared.omit_zero


@lru_cache(maxsize=1024)
def _fields(type_name: str) -> dict[str, wire_fields.Field]:
    """What is known of the fields of a published type: of a plain value zero is as good as nothing."""
    return {field.name: field for field in wire_fields.message_of(type_name)}


def zero(type_name: str, field: str, node: Node) -> Any:
    """The zero value that is shown; of a reference, nothing."""
    declared = _fields(type_name).get(field)
    if declared is not None and declared.pointer:
        return None
    if node.shape == "string":
        return ""
    if node.shape == "boolean":
        return False
    if node.shape in ("int32", "int64", "number", "int-or-string"):
        return 0
    if node.shape == "quantity":
        return "0"
    return None
