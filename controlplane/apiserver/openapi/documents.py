"""The OpenAPI documents themselves, rendered from operations and schemas."""

from __future__ import annotations

import hashlib
from typing import Any

from apimachinery.kinds import Kind
from apimachinery.objects import Obj, dumps, loads
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.openapi import gnostic, operations, schemas
from controlplane.apiserver.openapi.operations import Operation, PathItem
from controlplane.apiserver.openapi.schemas import Types

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
ANSWER_TYPES = (JSON, PROTOBUF, YAML)
WATCH_TYPES = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
INTEGERS = frozenset({"limit", "timeoutSeconds", "gracePeriodSeconds", "limitBytes", "sinceSeconds", "tailLines"})
BOOLEANS = frozenset(
    {
        "allowWatchBookmarks",
        "follow",
        "force",
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "insecureSkipTLSVerifyBackend",
        "orphanDependents",
        "previous",
        "sendInitialEvents",
        "timestamps",
        "watch",
    }
)
PRETTY = "pretty"


def _parameter_type(name: str) -> Obj:
    kind = "integer" if name in INTEGERS else "boolean" if name in BOOLEANS else "string"
    return {"type": kind, "uniqueItems": True}


def _path_parameter(name: str) -> Obj:
    texts = {
        "name": "name of the object",
        "namespace": "namespace of the object",
        "path": "path to the resource",
    }
    return {"name": name, "in": "path", "description": texts[name], "required": True}


def _operation_v3(operation: Operation) -> Obj:
    group, version, kind = operation.group_version_kind
    out: Obj = {
        "tags": [operation.tag],
        "description": operation.summary,
        "operationId": operation.identity,
    }
    if operation.parameters:
        out["parameters"] = [{"name": n, "in": "query", "schema": _parameter_type(n)} for n in operation.parameters]
    if operation.body:
        types = PATCH_TYPES if operation.body == operations.PATCH else ("*/*",)
        out["requestBody"] = {"content": {t: {"schema": _refer(operation.body)} for t in types}}
        if operation.body != operations.DELETE_OPTIONS:
            out["requestBody"]["required"] = True
    out["responses"] = _responses_v3(operation)
    out["x-kubernetes-action"] = operation.action
    out["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
    return out


def _responses_v3(operation: Operation) -> Obj:
    if operation.stream or not operation.answer:
        return {"200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}}}
    types = ANSWER_TYPES + (WATCH_TYPES if operation.action == "list" else ())
    content = {t: {"schema": _refer(operation.answer)} for t in types}
    out = {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}}
    if operation.created:
        out["201"] = {"description": "Created", "content": content}
    if operation.method == "delete" or operation.action == "post":
        out["202"] = {"description": "Accepted", "content": content}
    return out


def _refer(name: str) -> Obj:
    return {"$ref": schemas.V3_PREFIX + name}


def _path_v3(item: PathItem) -> Obj:
    out: Obj = {operation.method: _operation_v3(operation) for operation in item.operations}
    shared = [{**_path_parameter(n), "schema": {"type": "string", "uniqueItems": True}} for n in item.parameters]
    out["parameters"] = [
        *shared,
        {"name": PRETTY, "in": "query", "schema": {"type": "string", "uniqueItems": True}},
    ]
    return out


def _roots(items: list[PathItem], kinds: list[Kind], types: Types) -> set[str]:
    used = {name for item in items for op in item.operations for name in (op.body, op.answer) if name}
    used |= {types.name(k.group, k.version, k.kind) for k in kinds}
    return used - {""}


def document_v3(kinds: list[Kind], types: Types, version: str) -> Obj:
    """The OpenAPI 3.0 document of the kinds of one group version."""
    items = list(operations.paths(kinds, types))
    shown = {name: types.convert_v3(name) for name in types.closure(_roots(items, kinds, types))}
    security = {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": {item.path: _path_v3(item) for item in sorted(items, key=lambda i: i.path)},
        "components": {"schemas": shown, "securitySchemes": security},
    }


def _operation_v2(operation: Operation) -> Obj:
    group, version, kind = operation.group_version_kind
    parameters: list[Obj] = []
    if operation.body:
        target = {"$ref": schemas.V2_PREFIX + operation.body}
        needed = {} if operation.body == operations.DELETE_OPTIONS else {"required": True}
        parameters.append({"in": "body", "name": "body", "schema": target, **needed})
    parameters += [{"in": "query", "name": n, **_parameter_type(n)} for n in operation.parameters]
    answer: Obj = {"description": "OK"}
    if operation.answer and not operation.stream:
        answer["schema"] = {"$ref": schemas.V2_PREFIX + operation.answer}
    return {
        "consumes": list(PATCH_TYPES) if operation.body == operations.PATCH else ["*/*"],
        "description": operation.summary,
        "operationId": operation.identity,
        **({"parameters": parameters} if parameters else {}),
        "produces": ["*/*"] if operation.stream else list(ANSWER_TYPES),
        "responses": {"200": answer, "401": {"description": "Unauthorized"}},
        "schemes": ["https"],
        "tags": [operation.tag],
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
    }


def document_v2(kinds: list[Kind], types: Types, version: str) -> Obj:
    """The Swagger 2.0 document of all kinds."""
    items = list(operations.paths(kinds, types))
    paths: Obj = {}
    for item in sorted(items, key=lambda i: i.path):
        found: Obj = {operation.method: _operation_v2(operation) for operation in item.operations}
        shared = [{**_path_parameter(n), "type": "string", "uniqueItems": True} for n in item.parameters]
        found["parameters"] = [
            *shared,
            {"in": "query", "name": PRETTY, "type": "string", "uniqueItems": True},
        ]
        paths[item.path] = found
    token = {"BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization"}}
    token["BearerToken"]["type"] = "apiKey"
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": {name: types.convert_v2(name) for name in sorted(types.definitions)},
        "securityDefinitions": token,
        "security": [{"BearerToken": []}],
    }


class Documents:
    """All documents of a set of kinds as bytes: built on first use, then kept."""

    def __init__(self, rows: tuple[Resource, ...], version: str) -> None:
        self._version = version
        self._kinds = kinds = tuple(row.kind for row in rows)
        self._own = {row.kind: row.definitions for row in rows if row.definitions}
        self._types = Types({name: schema for own in self._own.values() for name, schema in own.items()})
        self._groups: dict[str, list[Kind]] = {}
        for kind in kinds:
            prefix = "apis" if kind.group else "api"
            self._groups.setdefault(f"{prefix}/{kind.api_version}", []).append(kind)
        self._v3: dict[str, bytes] = {}
        self._v2: bytes = b""
        self._v2_protobuf: bytes = b""

    def names(self) -> list[str]:
        """The documents there are: "api/v1", "apis/apps/v1", …"""
        return sorted(self._groups)

    def index(self) -> Obj:
        """/openapi/v3: every document and its address, which changes whenever the document does."""
        entries: dict[str, Any] = {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={self._fingerprint(name)}"} for name in self.names()
        }
        return {"paths": entries}

    def v3(self, name: str) -> bytes | None:
        """The document of one group version; None when there is no such group version."""
        if name not in self._groups:
            return None
        if name not in self._v3:
            self._v3[name] = dumps(document_v3(self._groups[name], self._types, self._version))
        return self._v3[name]

    def v2(self) -> bytes:
        if not self._v2:
            self._v2 = dumps(document_v2(list(self._kinds), self._types, self._version))
        return self._v2

    def v2_protobuf(self) -> bytes:
        """The same document in gnostic's messages."""
        if not self._v2_protobuf:
            self._v2_protobuf = gnostic.document(loads(self.v2()))
        return self._v2_protobuf

    def _fingerprint(self, name: str) -> str:
        # Rendering all documents to hash them would cost a quarter of a second and megabytes for clients that
        # want one: what a document is made of identifies it as well.
        made_of = [self._version, schemas.SOURCE_VERSION]
        for kind in self._groups[name]:
            made_of += [repr(sorted_kind(kind)), dumps(dict(self._own.get(kind, {}))).decode()]
        return hashlib.sha512("\n".join(made_of).encode()).hexdigest().upper()


def sorted_kind(kind: Kind) -> tuple[Any, ...]:
    """A kind as a value with one spelling, whatever the order of its sets."""
    subs = tuple((s.name, tuple(sorted(s.verbs)), s.kind, s.group, s.version) for s in kind.subresources.values())
    return (
        kind.group,
        kind.version,
        kind.kind,
        kind.plural,
        kind.namespaced,
        tuple(sorted(kind.verbs)),
        subs,
    )
