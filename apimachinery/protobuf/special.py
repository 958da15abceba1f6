"""Messages whose JSON is no object of their fields: times, quantities, raw JSON and the like.

Each has a reader from the message's bytes to the JSON value (None for the zero that JSON leaves out) and a writer back.
The reader of raw JSON stands with the decoder: what it reads may be a whole object.
"""

from __future__ import annotations

import base64
import calendar
import datetime
from collections.abc import Callable
from typing import Any

import orjson

from apimachinery.jsontext import spelled_as_go
from apimachinery.protobuf.varint import (
    BYTES,
    END,
    VARINT,
    ProtobufError,
    read_varint,
    signed,
    skip,
    tag,
    varint,
    write_signed,
)

__all__ = ["READERS", "WRITERS", "base64_of", "scan"]

Reader = Callable[[bytes], Any]
Writer = Callable[[Any], bytes]


def scan(data: bytes) -> dict[int, Any]:
    """The plain fields of a small message: numbers as they stand, texts and messages as bytes."""
    found: dict[int, Any] = {}
    at, end = 0, len(data)
    while at < end:
        key, at = read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            found[number], at = read_varint(data, at)
        elif wire_type == BYTES:
            length, at = read_varint(data, at)
            if at + length > end:
                raise ProtobufError(END)
            found[number] = data[at : at + length]
            at += length
        else:
            at = skip(data, at, wire_type, end)
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _number(value: Any) -> int:
    return signed(value) if isinstance(value, int) else 0


def _string_field(number: int, text: str) -> bytes:
    data = text.encode()
    return tag(number, BYTES) + varint(len(data)) + data


def read_time(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else moment[0] + "Z"


def read_microtime(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else f"{moment[0]}.{moment[1] // 1000:06d}Z"


def _moment(data: bytes) -> tuple[str, int] | None:
    if not data:
        return None
    fields = scan(data)
    try:
        when = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=_number(fields.get(1)))
    except OverflowError:
        raise ProtobufError("time out of range") from None
    return when.isoformat(timespec="seconds"), _number(fields.get(2)) % 10**9


def write_time(value: Any) -> bytes:
    return _write_moment(value, 19)


def write_microtime(value: Any) -> bytes:
    return _write_moment(value, 26)


def _write_moment(value: Any, length: int) -> bytes:
    if value is None:
        return b""
    when = datetime.datetime.fromisoformat(value[:length].rstrip("Z"))
    seconds = calendar.timegm(when.timetuple())
    return b"\x08" + write_signed(seconds) + b"\x10" + write_signed(when.microsecond * 1000)


def read_quantity(data: bytes) -> str:
    return _text(scan(data).get(1)) or "0"


def write_quantity(value: Any) -> bytes:
    return _string_field(1, str(value) if value is not None else "0")


def read_int_or_string(data: bytes) -> int | str:
    fields = scan(data)
    return _text(fields.get(3)) if fields.get(1) else _number(fields.get(2))


def write_int_or_string(value: Any) -> bytes:
    is_text = isinstance(value, str)
    number = b"\x00" if is_text else write_signed(int(value or 0))
    return b"\x08" + (b"\x01" if is_text else b"\x00") + b"\x10" + number + _string_field(3, value if is_text else "")


def write_json(value: Any) -> bytes:
    data = spelled_as_go(orjson.dumps(value))
    return b"\x0a" + varint(len(data)) + data


def base64_of(data: bytes) -> str:
    """Bytes as JSON has them."""
    return base64.b64encode(data).decode()


def read_strings(data: bytes) -> list[str]:
    """A message that is a list of strings in JSON."""
    found, at, end = [], 0, len(data)
    while at < end:
        key, at = read_varint(data, at)
        if key != 10:
            at = skip(data, at, key & 7, end)
            continue
        length, at = read_varint(data, at)
        if at + length > end:
            raise ProtobufError(END)
        found.append(data[at : at + length].decode("utf-8", "replace"))
        at += length
    return found


def write_strings(value: Any) -> bytes:
    return b"".join(_string_field(1, text) for text in value or ())


READERS: dict[str, Reader] = {
    "meta.v1.Time": read_time,
    "meta.v1.MicroTime": read_microtime,
    "api.resource.Quantity": read_quantity,
    "util.intstr.IntOrString": read_int_or_string,
    "meta.v1.Verbs": read_strings,
    **{
        f"{package}.ExtraValue": read_strings
        for package in ("authentication.v1", "authorization.v1", "certificates.v1")
    },
}
WRITERS: dict[str, Writer] = {
    "meta.v1.Time": write_time,
    "meta.v1.MicroTime": write_microtime,
    "api.resource.Quantity": write_quantity,
    "util.intstr.IntOrString": write_int_or_string,
    "meta.v1.FieldsV1": write_json,
    "runtime.RawExtension": write_json,
    "apiextensions.v1.JSON": write_json,
    "meta.v1.Verbs": write_strings,
    **{
        f"{package}.ExtraValue": write_strings
        for package in ("authentication.v1", "authorization.v1", "certificates.v1")
    },
}
