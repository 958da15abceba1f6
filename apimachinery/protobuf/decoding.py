"""From a message's bytes to its dict, as its JSON would be: zero values that JSON leaves out are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson

from apimachinery.data import wire_fields
from apimachinery.protobuf import special
from apimachinery.protobuf.varint import (
    BYTES,
    END,
    FIXED64,
    VARINT,
    ProtobufError,
    UnknownKind,
    read_double,
    read_varint,
    skip,
)

__all__ = ["MAGIC", "decode", "is_protobuf", "message"]

Decode = Callable[[bytes], Any]
# How one field of the wire lands in the dict: (dict, value off the wire) -> None.
Store = Callable[[dict[str, Any], Any], None]


@cache
def _stores(name: str) -> Mapping[int, Store]:
    """By tag (number and wire type together) how a field is stored."""
    found: dict[int, Store] = {}
    for field in wire_fields.own(name):
        found[field.number << 3 | _wire_type(field)] = _store(field)
    return found


def message(name: str, data: bytes, into: dict[str, Any] | None = None) -> dict[str, Any]:
    """The dict of a message of that name; raises ProtobufError."""
    result = {} if into is None else into
    stores = _stores(name)
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        if key < 128:
            at += 1
        else:
            key, at = read_varint(data, at)
        store = stores.get(key)
        if store is None:
            at = _unexpected(name, data, at, key, end)
            continue
        wire_type = key & 7
        if wire_type == BYTES:
            if at < end and data[at] < 128:
                length = data[at]
                at += 1
            else:
                length, at = read_varint(data, at)
            if at + length > end:
                raise ProtobufError(END)
            store(result, data[at : at + length])
            at += length
        elif wire_type == VARINT:
            value, at = read_varint(data, at)
            store(result, value)
        else:
            store(result, read_double(data, at))
            at += 8
    return result


def _unexpected(name: str, data: bytes, at: int, key: int, end: int) -> int:
    number, wire_type = key >> 3, key & 7
    if number == 0:
        raise ProtobufError(f"proto: {name.rpartition('.')[2]}: illegal tag 0 (wire type {key})")
    for field in wire_fields.own(name):
        if field.number == number:
            raise ProtobufError(f"proto: wrong wireType = {wire_type} for field {field.name}")
    return skip(data, at, wire_type, end)


def _wire_type(field: wire_fields.Field) -> int:
    if field.is_map or field.is_message or field.type in ("string", "bytes"):
        return BYTES
    return FIXED64 if field.type == "double" else VARINT


def _store(field: wire_fields.Field) -> Store:
    name = field.name
    if field.inline:
        return lambda result, value: _inline(field.type, result, value)
    read = reader(field.type)
    if field.is_map:
        return lambda result, value: _map_entry(result.setdefault(name, {}), value, read)
    if field.repeated:
        return lambda result, value: result.setdefault(name, []).append(read(value))

    def keep(result: dict[str, Any], value: Any) -> None:
        result[name] = read(value)

    def keep_unless_zero(result: dict[str, Any], value: Any) -> None:
        found = read(value)
        if found:
            result[name] = found

    def keep_unless_none(result: dict[str, Any], value: Any) -> None:
        found = read(value)
        if found is not None:
            result[name] = found

    if field.pointer or field.type in READERS:
        return keep_unless_none if field.is_message else keep
    return keep if field.always else keep_unless_zero


def _inline(name: str, result: dict[str, Any], value: bytes) -> None:
    message(name, value, result)


def _map_entry(result: dict[str, Any], entry: bytes, read: Decode) -> None:
    parts = special.scan(entry)
    key = parts.get(1, b"")
    value = parts.get(2, b"")
    if not isinstance(key, bytes) or not isinstance(value, bytes):
        raise ProtobufError("proto: wrong wireType in a map entry")
    result[key.decode("utf-8", "replace")] = read(value)


@cache
def reader(kind: str) -> Decode:
    """How a value of a scalar or message type is read."""
    if kind in SCALARS:
        return SCALARS[kind]
    if kind in READERS:
        return READERS[kind]
    if kind in CHOICES:
        return CHOICES[kind]
    return lambda data: message(kind, data)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _int64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _double(value: float) -> float | int:
    # JSON knows no whole floats; upstream writes 5.0 as 5.
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


SCALARS: dict[str, Decode] = {
    "string": _text,
    "bool": bool,
    "int32": _int32,  # type: ignore[dict-item]
    "int64": _int64,  # type: ignore[dict-item]
    "double": _double,  # type: ignore[dict-item]
    "bytes": special.base64_of,
}

SCHEMA = "apiextensions.v1.JSONSchemaProps"


def _either(number: int, otherwise: Callable[[bytes], Any]) -> Decode:
    """A message that is in JSON either the schema in one of its fields, or something else."""

    def read(data: bytes) -> Any:
        chosen = special.scan(data).get(number)
        return message(SCHEMA, chosen) if isinstance(chosen, bytes) else otherwise(data)

    return read


CHOICES: dict[str, Decode] = {
    "apiextensions.v1.JSONSchemaPropsOrArray": _either(
        1, lambda data: message("apiextensions.v1.JSONSchemaPropsOrArray", data).get("jSONSchemas", [])
    ),
    "apiextensions.v1.JSONSchemaPropsOrBool": _either(2, lambda data: bool(special.scan(data).get(1))),
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _either(
        1, lambda data: message("apiextensions.v1.JSONSchemaPropsOrStringArray", data).get("property", [])
    ),
}


MAGIC = b"k8s\x00"
NO_MAGIC = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"


def is_protobuf(body: bytes) -> bool:
    return body[:4] == MAGIC


def decode(body: bytes, api_version: str = "", kind: str = "") -> dict[str, Any]:
    """The object in an envelope, with its apiVersion and kind first.

    The two arguments name what is expected where the envelope does not say. Raises UnknownKind for one that has no
    message, ProtobufError for anything else.
    """
    if not body:
        raise ProtobufError("empty data")
    if not is_protobuf(body):
        raise ProtobufError(NO_MAGIC)
    if body == MAGIC:
        raise ProtobufError("empty body")
    parts = special.scan(body[4:])
    named = special.scan(_bytes(parts.get(1)))
    api_version = _bytes(named.get(1)).decode("utf-8", "replace") or api_version
    kind = _bytes(named.get(2)).decode("utf-8", "replace") or kind
    name = wire_fields.of_kind(api_version, kind)
    if name is None:
        raise UnknownKind(api_version, kind)
    result: dict[str, Any] = {"apiVersion": api_version, "kind": kind}
    try:
        return message(name, _bytes(parts.get(2)), result)
    except RecursionError:
        raise ProtobufError("proto: message nested too deeply") from None


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


def read_json(data: bytes) -> Any:
    """Raw JSON inside a message; an object may also stand there in its own envelope."""
    raw = special.scan(data).get(1)
    if not raw:
        return None
    if is_protobuf(raw):
        return decode(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProtobufError(f"raw JSON: {error}") from None


READERS: dict[str, Decode] = {
    **special.READERS,
    **dict.fromkeys(("meta.v1.FieldsV1", "runtime.RawExtension", "apiextensions.v1.JSON"), read_json),
}
