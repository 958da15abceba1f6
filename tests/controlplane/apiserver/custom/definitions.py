"""Definitions for tests: boats, as a client sends them."""

from __future__ import annotations

from typing import Any

from apimachinery.kinds import Kind, define
from apimachinery.objects import Obj

GROUP = "sea.example.com"
NAME = f"boats.{GROUP}"
V1: Kind = define(GROUP, "v1", "Boat", "boats", status=True)
V2: Kind = define(GROUP, "v2", "Boat", "boats", status=True)
_SPEC = {"sail": {"type": "string"}, "crew": {"type": "integer", "default": 3}, "replicas": {"type": "integer"}}
_STATUS = {"afloat": {"type": "boolean"}, "replicas": {"type": "integer"}, "selector": {"type": "string"}}
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def of_type(properties: Obj) -> Obj:
    """A schema of an object with these properties."""
    return {"type": "object", "properties": properties}


def version(name: str = "v1", storage: bool = True, **more: Any) -> Obj:
    """One version with status and scale."""
    schema = {"openAPIV3Schema": of_type({"spec": of_type(_SPEC), "status": of_type(_STATUS)})}
    parts = {"status": {}, "scale": SCALE}
    return {"name": name, "served": True, "storage": storage, "schema": schema, "subresources": parts, **more}


def definition(*versions: Obj, plural: str = "boats", kind: str = "Boat", short: str = "bt", **more: Any) -> Obj:
    """A definition of boats; more is of its spec."""
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List", "shortNames": [short]}
    spec = {"group": GROUP, "scope": "Namespaced", "names": {**names, "categories": ["all"]}, **more}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{spec['group']}"},
        "spec": {**spec, "versions": list(versions or (version(),))},
    }


def boat(name: str, api_version: str = "v1", **spec: Any) -> Obj:
    """A boat with a gaff sail, unless said otherwise."""
    body = {"metadata": {"name": name, "namespace": "default"}, "spec": {"sail": "gaff", **spec}}
    return {"apiVersion": f"{GROUP}/{api_version}", "kind": "Boat", **body}
