"""metrics.k8s.io: what nodes and pods use, read from the nodes' agents. Nothing of it is stored.

Upstream's API server passes these requests on to metrics-server; the types are that project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import kinds
from controlplane.apiserver.catalog.resource import Resource

_PREFIX = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
_META = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
_QUANTITY = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.api.resource.Quantity"}
_USAGE = {"type": "object", "additionalProperties": _QUANTITY}
_TEXT = {"type": ["string", "null"]}
_CONTAINER = {"type": "object", "properties": {"name": {"type": "string"}, "usage": _USAGE}}


def _type(kind: kinds.Kind, **own: Any) -> Mapping[str, Mapping[str, Any]]:
    named = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    properties = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _META, "timestamp": _TEXT, "window": _TEXT, **own}
    described = {"type": "object", "x-kubernetes-group-version-kind": [named], "properties": properties}
    return {_PREFIX + kind.kind: described}


ROWS: tuple[Resource, ...] = (
    Resource(kinds.NODE_METRICS, definitions=_type(kinds.NODE_METRICS, usage=_USAGE)),
    Resource(
        kinds.POD_METRICS, definitions=_type(kinds.POD_METRICS, containers={"type": "array", "items": _CONTAINER})
    ),
)
