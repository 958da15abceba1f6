"""The OpenAPI documents themselves, rendered from operations and schemas."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from typing import Any

from apimachinery.kinds import Kind
from apimachinery.objects import Obj, dumps, loads
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.formats.media import JSON, PROTOBUF
from controlplane.apiserver.openapi import gnostic, operations, schemas
from controlplane.apiserver.openapi.operations import Operation, PathItem
from controlplane.apiserver.openapi.schemas import Types

# Upstream tells of watches where protobuf is told of, too.
WATCH_TYPES = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
INTEGERS = frozenset(
    {"limit", "timeoutSeconds", "gracePeriodSeconds", "limitBytes", "ports", "sinceSeconds", "tailLines"}
)
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
        "stderr",
        "stdin",
        "stdout",
        "timestamps",
        "tty",
        "watch",
    }
)
PRETTY = "pretty"
# Raised whenever documents of the same kinds come out otherwise: clients keep what they have by its address.
_RENDERING = "4"


def _parameter_type(name: str) -> Obj:
    kind = "integer" if name in INTEGERS else "boolean" if name in BOOLEANS else "string"
    return {"type": kind, "uniqueItems": True}


def _parameters(item: PathItem) -> list[tuple[Obj, Obj]]:
    """The parameters of a path, by name: those that say which object, and those that all its operations take; each with
    its type apart, which the two versions write in different places."""
    texts = {
        "name": f"name of the {item.named}",
        "namespace": "namespace of the object",
        "path": "path to the resource",
    }
    found: list[tuple[Obj, Obj]] = [
        ({"name": name, "in": "path", "description": texts[name], "required": True}, _parameter_type(name))
        for name in item.parameters
    ]
    # What no kind answers, and what is passed on, nobody prints.
    printed = any(one.action not in ("", "connect") for one in item.operations)
    names = {*item.common, PRETTY} if printed else item.common
    found += [({"name": name, "in": "query"}, _parameter_type(name)) for name in names]
    return sorted(found, key=lambda one: (one[0]["name"], one[0]["in"]))


def _queries(operation: Operation, item: PathItem) -> list[str]:
    """The parameters that not all operations of the path take."""
    return [name for name in operation.parameters if name not in item.common]


def _operation_v3(operation: Operation, item: PathItem) -> Obj:
    out: Obj = {
        "tags": [operation.tag],
        "description": operation.summary,
        "operationId": operation.identity,
    }
    if names := _queries(operation, item):
        out["parameters"] = [{"name": name, "in": "query", "schema": _parameter_type(name)} for name in names]
    if operation.body:
        out["requestBody"] = {"content": {t: {"schema": _refer(operation.body)} for t in operation.reads}}
        if operation.body != operations.DELETE_OPTIONS:
            out["requestBody"]["required"] = True
    out["responses"] = _responses_v3(operation)
    return {**out, **_extensions(operation)}


def _extensions(operation: Operation) -> Obj:
    if not operation.action:
        return {}
    group, version, kind = operation.group_version_kind
    asked = {"group": group, "version": version, "kind": kind}
    return {"x-kubernetes-action": operation.action, "x-kubernetes-group-version-kind": asked}


def _responses_v3(operation: Operation) -> Obj:
    if operation.stream or not operation.answer:
        streamed = ("text/plain", *operation.writes) if operation.action == "get" else operations.ANYTHING
        return _responses(operation, {"content": {t: {"schema": {"type": "string"}} for t in streamed}})
    watched = operation.action == "list" and PROTOBUF in operation.writes
    types = operation.writes + (WATCH_TYPES if watched else ())
    content = {t: {"schema": _refer(operation.answer)} for t in types}
    return _responses(operation, {"content": content})


def _responses(operation: Operation, answer: Obj) -> Obj:
    """What may come back, each with the same answer."""
    told = {"200": "OK", **({"201": "Created"} if operation.created else {})}
    if operation.action in ("delete", "post"):
        told["202"] = "Accepted"
    found: Obj = {code: {"description": text, **answer} for code, text in told.items()}
    return {**found, "401": {"description": "Unauthorized"}}


def _refer(name: str) -> Obj:
    return {"$ref": schemas.V3_PREFIX + name}


def _path_v3(item: PathItem) -> Obj:
    out: Obj = {operation.method: _operation_v3(operation, item) for operation in item.operations}
    if shared := [{**parameter, "schema": type_} for parameter, type_ in _parameters(item)]:
        out["parameters"] = shared
    return out


def _roots(items: list[PathItem], kinds: list[Kind], types: Types) -> set[str]:
    used = {name for item in items for op in item.operations for name in (op.body, op.answer) if name}
    used |= {types.name(k.group, k.version, k.kind) for k in kinds}
    return used - {""}


_SECURITY = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "in": "header",
        "name": "authorization",
        "type": "apiKey",
    }
}
_IDENTITIES = "x-kubernetes-group-version-kind"


def _own(schema: Obj, kind: Kind) -> Obj:
    """Of a type that belongs to every group version, what it is in the kind's and in the core's."""
    listed = schema.get(_IDENTITIES) or ()
    own = [one for one in listed if (one["group"], one["version"]) in (("", "v1"), (kind.group, kind.version))]
    return {**schema, _IDENTITIES: own} if len(listed) > 1 and own else schema


def document_v3(
    kinds: list[Kind], types: Types, version: str, returned: Container[Kind] = (), custom: Container[Kind] = ()
) -> Obj:
    """The OpenAPI 3.0 document of the kinds of one group version. returned, custom: see operations.paths."""
    items = list(operations.paths(kinds, types, returned, custom))
    names = types.closure(_roots(items, kinds, types))
    shown = {name: _own(types.convert_v3(name), kinds[0]) for name in names}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": {item.path: _path_v3(item) for item in sorted(items, key=lambda i: i.path)},
        "components": {"schemas": shown, "securitySchemes": _SECURITY},
    }


def _operation_v2(operation: Operation, item: PathItem) -> Obj:
    parameters: list[Obj] = []
    if operation.body:
        target = {"$ref": schemas.V2_PREFIX + operation.body}
        needed = {} if operation.body == operations.DELETE_OPTIONS else {"required": True}
        parameters.append({"in": "body", "name": "body", "schema": target, **needed})
    parameters += [{"in": "query", "name": n, **_parameter_type(n)} for n in _queries(operation, item)]
    answer: Obj = {"type": "string"}
    if operation.answer and not operation.stream:
        answer = {"$ref": schemas.V2_PREFIX + operation.answer}
    return {
        "consumes": list(operation.reads),
        "description": operation.summary,
        "operationId": operation.identity,
        **({"parameters": parameters} if parameters else {}),
        "produces": list(operations.ANYTHING if operation.stream else operation.writes),
        "responses": _responses(operation, {"schema": answer}),
        "schemes": ["https"],
        "tags": [operation.tag],
        **_extensions(operation),
    }


def document_v2(
    kinds: list[Kind], types: Types, version: str, returned: Container[Kind] = (), custom: Container[Kind] = ()
) -> Obj:
    """The Swagger 2.0 document of all kinds. returned, custom: see operations.paths."""
    items = list(operations.paths(kinds, types, returned, custom))
    paths: Obj = {}
    for item in sorted(items, key=lambda i: i.path):
        found: Obj = {operation.method: _operation_v2(operation, item) for operation in item.operations}
        if shared := [{**parameter, **type_} for parameter, type_ in _parameters(item)]:
            found["parameters"] = shared
        paths[item.path] = found
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": {name: types.convert_v2(name) for name in sorted(types.definitions)},
        "securityDefinitions": _SECURITY,
        "security": [{"BearerToken": []}],
    }


class Documents:
    """All documents of a set of kinds as bytes: built on first use, then kept."""

    def __init__(self, rows: tuple[Resource, ...], version: str) -> None:
        self._version = version
        self._kinds = kinds = tuple(row.kind for row in rows)
        self._returned = frozenset(row.kind for row in rows if row.strategy.returns_deleted)
        self._custom = frozenset(row.kind for row in rows if row.custom)
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
            self._v3[name] = dumps(
                document_v3(self._groups[name], self._types, self._version, self._returned, self._custom)
            )
        return self._v3[name]

    def v2(self) -> bytes:
        if not self._v2:
            self._v2 = dumps(document_v2(list(self._kinds), self._types, self._version, self._returned, self._custom))
        return self._v2

    def v2_protobuf(self) -> bytes:
        """The same document in gnostic's messages."""
        if not self._v2_protobuf:
            self._v2_protobuf = gnostic.document(loads(self.v2()))
        return self._v2_protobuf

    def _fingerprint(self, name: str) -> str:
        # Rendering all documents to hash them would cost a quarter of a second and megabytes for clients that
        # want one: what a document is made of identifies it as well.
        made_of = [self._version, schemas.SOURCE_VERSION, _RENDERING]
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
