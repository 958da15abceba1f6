"""The types of what expressions about requests may name. Pure.

Source: the API reference of ValidatingAdmissionPolicy, MutatingAdmissionPolicy and webhooks' matchConditions.
"""

from __future__ import annotations

from functools import lru_cache

from apimachinery.cel.types.declare import parse_type
from apimachinery.cel.types.environment import Types
from apimachinery.cel.types.kinds import DYN, STRING, Type, object_type
from controlplane.apiserver.expressions.known import Known

_TEXT = "string"
_TEXTS = "map(string, string)"
# Fields of the types, each with its type; a name of this table is another of them.
_DECLARED: dict[str, dict[str, str]] = {
    "kubernetes.GroupVersionKind": {"group": _TEXT, "version": _TEXT, "kind": _TEXT},
    "kubernetes.GroupVersionResource": {"group": _TEXT, "version": _TEXT, "resource": _TEXT},
    "kubernetes.UserInfo": {
        "username": _TEXT,
        "uid": _TEXT,
        "groups": "list(string)",
        "extra": "map(string, list(string))",
    },
    "kubernetes.AdmissionRequest": {
        "kind": "kubernetes.GroupVersionKind",
        "resource": "kubernetes.GroupVersionResource",
        "subResource": _TEXT,
        "requestKind": "kubernetes.GroupVersionKind",
        "requestResource": "kubernetes.GroupVersionResource",
        "requestSubResource": _TEXT,
        "name": _TEXT,
        "namespace": _TEXT,
        "operation": _TEXT,
        "userInfo": "kubernetes.UserInfo",
        "dryRun": "bool",
        "options": "dyn",
    },
    "kubernetes.NamespaceSpec": {"finalizers": "list(string)"},
    "kubernetes.NamespaceCondition": {
        "status": _TEXT,
        "type": _TEXT,
        "lastTransitionTime": "timestamp",
        "message": _TEXT,
        "reason": _TEXT,
    },
    "kubernetes.NamespaceStatus": {"conditions": "list(kubernetes.NamespaceCondition)", "phase": _TEXT},
    "kubernetes.NamespaceMetadata": {
        "name": _TEXT,
        "generateName": _TEXT,
        "namespace": _TEXT,
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "UID": _TEXT,
        "creationTimestamp": "timestamp",
        "deletionGracePeriodSeconds": "int",
        "deletionTimestamp": "timestamp",
        "generation": "int",
        "resourceVersion": _TEXT,
        "finalizers": "list(string)",
    },
    "kubernetes.Namespace": {
        "metadata": "kubernetes.NamespaceMetadata",
        "spec": "kubernetes.NamespaceSpec",
        "status": "kubernetes.NamespaceStatus",
    },
}
NAMESPACE, REQUEST = object_type("kubernetes.Namespace"), object_type("kubernetes.AdmissionRequest")
VARIABLES = object_type("kubernetes.variables")
OBJECT, PATCH = "Object", "JSONPatch"
_PATCH_FIELDS = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}


@lru_cache(maxsize=1)
def _fields() -> dict[str, dict[str, Type]]:
    return {name: {field: parse_type(text) for field, text in fields.items()} for name, fields in _DECLARED.items()}


class RequestTypes:
    """The types of a request, with a policy's own variables, those of patches, and those of more.

    Of an object that a patch makes no fields are known: `Object.spec.template` has whatever it is given.
    """

    def __init__(self, variables: Known, patches: bool, more: Types | None = None) -> None:
        self._types: dict[str, Known | dict[str, Type]] = {**_fields(), VARIABLES.name: variables}
        self._patches = patches
        self._more = more

    def known(self, name: str) -> bool:
        return name in self._types or self._is_patch(name) or (self._more is not None and self._more.known(name))

    def field(self, name: str, field: str) -> Type | None:
        if self._is_patch(name):
            return _PATCH_FIELDS.get(field) if name == PATCH else DYN
        if name in self._types:
            return self._types[name].get(field)
        return self._more.field(name, field) if self._more is not None else None

    def _is_patch(self, name: str) -> bool:
        return self._patches and (name in (OBJECT, PATCH) or name.startswith(f"{OBJECT}."))
