"""The Swagger 2.0 document as protobuf: the messages of gnostic's OpenAPIv2.proto, which older kubectl and Helm read.

Only what the server's own document is made of is known here; anything else raises, so that nothing is left out in
silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apimachinery.objects import Obj, dumps
from apimachinery.protobuf.varint import BYTES, VARINT, tag, varint

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# What clients of before 2018 call it, and upstream still takes.
OLD_MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

# A field's value as bytes behind its tag.
Write = Callable[[int, Any], bytes]


class UnknownMember(ValueError):
    """The document has a member that the table of messages does not."""


def document(swagger: Obj) -> bytes:
    """The bytes of a `Document`. Raises UnknownMember."""
    return _message("Document", swagger)


def _sized(number: int, data: bytes) -> bytes:
    return tag(number, BYTES) + varint(len(data)) + data


def _text(number: int, value: Any) -> bytes:
    return _sized(number, value.encode())


def _texts(number: int, value: Any) -> bytes:
    return b"".join([_text(number, item) for item in value])


def _flag(number: int, value: Any) -> bytes:
    return tag(number, VARINT) + b"\x01" if value else b""


def _any(number: int, value: Any) -> bytes:
    """`Any` carries its value as YAML; JSON is YAML."""
    return _sized(number, _text(2, dumps(value).decode() + "\n"))


def _anys(number: int, value: Any) -> bytes:
    return b"".join([_any(number, item) for item in value])


def _of(name: str, number: int, value: Any) -> bytes:
    return _sized(number, _message(name, value))


def _each(name: str, number: int, value: Any) -> bytes:
    return b"".join([_of(name, number, item) for item in value])


def _pair(number: int, key: str, value: bytes) -> bytes:
    """One entry of a map, as the messages Named… have it."""
    return _sized(number, _text(1, key) + _sized(2, value))


def _entries(name: str, number: int, value: Any) -> bytes:
    """A message that is a map: its entries are its field 1."""
    return _sized(number, b"".join([_pair(1, key, _message(name, item)) for key, item in value.items()]))


def _paths(number: int, value: Any) -> bytes:
    return _sized(number, b"".join([_pair(2, path, _message("PathItem", item)) for path, item in value.items()]))


def _responses(number: int, value: Any) -> bytes:
    # ResponseValue is either a Response (1) or a reference.
    return _sized(number, b"".join([_pair(1, code, _of("Response", 1, item)) for code, item in value.items()]))


def _schema_item(number: int, value: Any) -> bytes:
    return _sized(number, _of("Schema", 1, value))


def _additional(number: int, value: Any) -> bytes:
    return _sized(number, _flag(2, value) if isinstance(value, bool) else _of("Schema", 1, value))


def _types(number: int, value: Any) -> bytes:
    return _sized(number, _texts(1, [value] if isinstance(value, str) else value))


def _parameters(number: int, value: Any) -> bytes:
    return b"".join([_sized(number, _sized(1, _parameter(item))) for item in value])


def _parameter(value: Obj) -> bytes:
    """`Parameter`: a body (1) or one of the others (2), of which queries are 3 and paths 4."""
    if value["in"] == "body":
        return _of("BodyParameter", 1, value)
    if value["in"] == "query":
        return _sized(2, _of("QueryParameter", 3, value))
    return _sized(2, _of("PathParameter", 4, value))


def _security_definitions(number: int, value: Any) -> bytes:
    # SecurityDefinitionsItem: ApiKeySecurity is 2.
    return _sized(number, b"".join([_pair(1, key, _of("ApiKeySecurity", 2, item)) for key, item in value.items()]))


def _security(number: int, value: Any) -> bytes:
    return b"".join(
        [_sized(number, b"".join([_pair(1, key, _texts(1, scopes)) for key, scopes in item.items()])) for item in value]
    )


def _named(message: str) -> Write:
    return partial(_of, message)


# Message -> member of the JSON document -> (field number, how it is written). "x-" is where extensions go.
_OPERATION = _named("Operation")
MESSAGES: Mapping[str, Mapping[str, tuple[int, Write]]] = {
    "ApiKeySecurity": {"type": (1, _text), "name": (2, _text), "in": (3, _text), "description": (4, _text)},
    "BodyParameter": {
        "description": (1, _text), "name": (2, _text), "in": (3, _text), "required": (4, _flag),
        "schema": (5, _named("Schema")),
    },
    "Document": {
        "swagger": (1, _text), "info": (2, _named("Info")), "paths": (8, _paths),
        "definitions": (9, partial(_entries, "Schema")), "security": (12, _security),
        "securityDefinitions": (13, _security_definitions), "x-": (16, _any),
    },
    "Info": {"title": (1, _text), "version": (2, _text), "description": (3, _text)},
    "Operation": {
        "tags": (1, _texts), "summary": (2, _text), "description": (3, _text), "operationId": (5, _text),
        "produces": (6, _texts), "consumes": (7, _texts), "parameters": (8, _parameters),
        "responses": (9, _responses), "schemes": (10, _texts), "deprecated": (11, _flag), "x-": (13, _any),
    },
    "PathItem": {
        "get": (2, _OPERATION), "put": (3, _OPERATION), "post": (4, _OPERATION), "delete": (5, _OPERATION),
        "options": (6, _OPERATION), "head": (7, _OPERATION), "patch": (8, _OPERATION),
        "parameters": (9, _parameters), "x-": (10, _any),
    },
    "PathParameter": {
        "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text), "type": (5, _text),
        "format": (6, _text), "uniqueItems": (19, _flag), "x-": (22, _any),
    },
    "QueryParameter": {
        "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text), "type": (6, _text),
        "format": (7, _text), "uniqueItems": (20, _flag), "x-": (23, _any),
    },
    "Response": {"description": (1, _text), "schema": (2, _schema_item), "x-": (5, _any)},
    "Schema": {
        "$ref": (1, _text), "format": (2, _text), "title": (3, _text), "description": (4, _text), "default": (5, _any),
        "uniqueItems": (16, _flag), "required": (19, _texts), "enum": (20, _anys),
        "additionalProperties": (21, _additional),
        "type": (22, _types), "items": (23, _schema_item), "allOf": (24, partial(_each, "Schema")),
        "properties": (25, partial(_entries, "Schema")), "x-": (31, _any),
    },
}  # fmt: skip


def _message(name: str, value: Obj) -> bytes:
    fields = MESSAGES[name]
    out = []
    for key, item in value.items():
        if key.startswith("x-") and "x-" in fields:
            # NamedAny
            out.append(_sized(fields["x-"][0], _text(1, key) + _any(2, item)))
            continue
        if key not in fields:
            raise UnknownMember(f"{name} has no member {key}")
        number, write = fields[key]
        out.append(write(number, item))
    return b"".join(out)
