"""From an object's dict to its message's bytes: fields by number, map entries by key, as upstream writes
them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

from apimachinery.data import wire_fields
from apimachinery.protobuf import special
from apimachinery.protobuf.decoding import SCHEMA
from apimachinery.protobuf.varint import BYTES, FIXED64, VARINT, tag, varint, write_double, write_signed

__all__ = ["message"]

Write = Callable[[Any], bytes]
# One field's bytes out of the object's dict.
Part = Callable[[dict[str, Any]], bytes]


def message(name: str, obj: dict[str, Any]) -> bytes:
    """The bytes of an object whose message has that name; members the message does not have are left out."""
    return b"".join([part(obj) for part in _parts(name)])


@cache
def _parts(name: str) -> tuple[Part, ...]:
    return tuple(map(_part, wire_fields.own(name)))


def _part(field: wire_fields.Field) -> Part:
    write, name = _writer(field.type), field.name
    head = tag(field.number, _wire_type(field))
    if field.inline:
        return lambda obj: head + _sized(message(field.type, obj))
    if field.is_map:
        return lambda obj: _map(head, obj.get(name), write)
    if field.repeated:
        return lambda obj: b"".join([head + write(item) for item in obj.get(name) or ()])
    if field.pointer:
        return lambda obj: head + write(value) if (value := obj.get(name)) is not None else b""
    zero = head + write(None)
    return lambda obj: head + write(value) if (value := obj.get(name)) is not None else zero


def _map(head: bytes, value: Any, write: Write) -> bytes:
    entries = (b"\x0a" + _sized(key.encode()) + b"\x12" + write(value[key]) for key in sorted(value or ()))
    return b"".join([head + _sized(entry) for entry in entries])


def _wire_type(field: wire_fields.Field) -> int:
    if field.is_map or field.is_message or field.type in ("string", "bytes"):
        return BYTES
    return FIXED64 if field.type == "double" else VARINT


def _sized(data: bytes) -> bytes:
    return varint(len(data)) + data


@cache
def _writer(kind: str) -> Write:
    """How a value is written, with its length where it has one; None writes the zero value."""
    if kind in SCALARS:
        return SCALARS[kind]
    if kind in special.WRITERS:
        inner = special.WRITERS[kind]
        return lambda value: _sized(inner(value))
    if kind in CHOICES:
        choice = CHOICES[kind]
        return lambda value: _sized(choice(value))
    return lambda value: _sized(message(kind, value or {}))


def _or_array(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join([b"\x12" + _sized(message(SCHEMA, item)) for item in value])
    return b"\x0a" + _sized(message(SCHEMA, value or {}))


def _or_bool(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"\x08\x01\x12" + _sized(message(SCHEMA, value))
    return b"\x08\x01" if value else b"\x08\x00"


def _or_strings(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join([b"\x12" + _sized(item.encode()) for item in value])
    return b"\x0a" + _sized(message(SCHEMA, value or {}))


SCALARS: dict[str, Write] = {
    "string": lambda value: _sized(value.encode()) if value else b"\x00",
    "bool": lambda value: b"\x01" if value else b"\x00",
    "int32": lambda value: write_signed(int(value or 0)),
    "int64": lambda value: write_signed(int(value or 0)),
    "double": lambda value: write_double(float(value or 0)),
    "bytes": lambda value: _sized(base64.b64decode(value or "")),
}
CHOICES: dict[str, Write] = {
    "apiextensions.v1.JSONSchemaPropsOrArray": _or_array,
    "apiextensions.v1.JSONSchemaPropsOrBool": _or_bool,
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _or_strings,
}
