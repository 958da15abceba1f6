"""The Swagger 2.0 document as protobuf: the messages of gnostic's OpenAPIv2.proto, which older kubectl and Helm read.

Only what documents of API servers are made of is known here; anything else raises, so that nothing is left out in
silence.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apimachinery.objects import Obj, dumps
from apimachinery.protobuf.varint import BYTES, FIXED64, VARINT, tag, varint

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


def _count(number: int, value: Any) -> bytes:
    return tag(number, VARINT) + varint(int(value))


def _number(number: int, value: Any) -> bytes:
    return tag(number, FIXED64) + struct.pack("<d", value)


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
    """`Parameter`: a body (1) or one of the others (2), of which those in headers are like those in paths, and those in
    forms like those in queries."""
    if value["in"] == "body":
        return _of("BodyParameter", 1, value)
    message, number = _PARAMETERS[value["in"]]
    return _sized(2, _of(message, number, value))


def _security_definitions(number: int, value: Any) -> bytes:
    # SecurityDefinitionsItem: ApiKeySecurity is 2.
    return _sized(number, b"".join([_pair(1, key, _of("ApiKeySecurity", 2, item)) for key, item in value.items()]))


def _security(number: int, value: Any) -> bytes:
    return b"".join(
        [_sized(number, b"".join([_pair(1, key, _texts(1, scopes)) for key, scopes in item.items()])) for item in value]
    )


def _named(message: str) -> Write:
    return partial(_of, message)


_PARAMETERS = {
    "header": ("PathParameter", 1),
    "formData": ("QueryParameter", 2),
    "query": ("QueryParameter", 3),
    "path": ("PathParameter", 4),
}
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
    "ExternalDocs": {"description": (1, _text), "url": (2, _text), "x-": (3, _any)},
    "Info": {"title": (1, _text), "version": (2, _text), "description": (3, _text)},
    "Operation": {
        "tags": (1, _texts), "summary": (2, _text), "description": (3, _text),
        "externalDocs": (4, _named("ExternalDocs")), "operationId": (5, _text),
        "produces": (6, _texts), "consumes": (7, _texts), "parameters": (8, _parameters),
        "responses": (9, _responses), "schemes": (10, _texts), "deprecated": (11, _flag),
        "security": (12, _security), "x-": (13, _any),
    },
    "PathItem": {
        "get": (2, _OPERATION), "put": (3, _OPERATION), "post": (4, _OPERATION), "delete": (5, _OPERATION),
        "options": (6, _OPERATION), "head": (7, _OPERATION), "patch": (8, _OPERATION),
        "parameters": (9, _parameters), "x-": (10, _any),
    },
    "PathParameter": {
        "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text), "type": (5, _text),
        "format": (6, _text), "items": (7, _named("Primitives")), "collectionFormat": (8, _text), "default": (9, _any),
        "maximum": (10, _number), "exclusiveMaximum": (11, _flag), "minimum": (12, _number),
        "exclusiveMinimum": (13, _flag), "maxLength": (14, _count), "minLength": (15, _count), "pattern": (16, _text),
        "maxItems": (17, _count), "minItems": (18, _count), "uniqueItems": (19, _flag), "enum": (20, _anys),
        "multipleOf": (21, _number), "x-": (22, _any),
    },
    "Primitives": {
        "type": (1, _text), "format": (2, _text), "items": (3, _named("Primitives")), "collectionFormat": (4, _text),
        "default": (5, _any), "maximum": (6, _number), "exclusiveMaximum": (7, _flag), "minimum": (8, _number),
        "exclusiveMinimum": (9, _flag), "maxLength": (10, _count), "minLength": (11, _count), "pattern": (12, _text),
        "maxItems": (13, _count), "minItems": (14, _count), "uniqueItems": (15, _flag), "enum": (16, _anys),
        "multipleOf": (17, _number), "x-": (18, _any),
    },
    "QueryParameter": {
        "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text),
        "allowEmptyValue": (5, _flag), "type": (6, _text), "format": (7, _text), "items": (8, _named("Primitives")),
        "collectionFormat": (9, _text), "default": (10, _any), "maximum": (11, _number),
        "exclusiveMaximum": (12, _flag), "minimum": (13, _number), "exclusiveMinimum": (14, _flag),
        "maxLength": (15, _count), "minLength": (16, _count), "pattern": (17, _text), "maxItems": (18, _count),
        "minItems": (19, _count), "uniqueItems": (20, _flag), "enum": (21, _anys), "multipleOf": (22, _number),
        "x-": (23, _any),
    },
    "Response": {"description": (1, _text), "schema": (2, _schema_item), "x-": (5, _any)},
    "Schema": {
        "$ref": (1, _text), "format": (2, _text), "title": (3, _text), "description": (4, _text), "default": (5, _any),
        "multipleOf": (6, _number), "maximum": (7, _number), "exclusiveMaximum": (8, _flag), "minimum": (9, _number),
        "exclusiveMinimum": (10, _flag), "maxLength": (11, _count), "minLength": (12, _count), "pattern": (13, _text),
        "maxItems": (14, _count), "minItems": (15, _count), "uniqueItems": (16, _flag), "maxProperties": (17, _count),
        "minProperties": (18, _count), "required": (19, _texts), "enum": (20, _anys),
        "additionalProperties": (21, _additional),
        "type": (22, _types), "items": (23, _schema_item), "allOf": (24, partial(_each, "Schema")),
        "properties": (25, partial(_entries, "Schema")), "discriminator": (26, _text), "readOnly": (27, _flag),
        "externalDocs": (29, _named("ExternalDocs")), "example": (30, _any), "x-": (31, _any),
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
