"""The values that expressions of a schema see: compiled once, made once for each object. Pure.

Texts of some formats are times, durations or bytes; numbers are doubles; what no schema describes cannot be named, but
counts where two objects are compared; sets have no order, and maps of items are compared by their keys.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.kinds import KeyedList, PartMap, SetList
from apimachinery.cel.values.times import Duration, Timestamp, parse_timestamp
from apimachinery.objects import Obj
from apimachinery.schema import scalars
from controlplane.apiserver.expressions.published import RESERVED, escaped
from controlplane.apiserver.structural.declared import declared, with_meta
from controlplane.apiserver.structural.reading import EMBEDDED, INT_OR_STRING, LIST_TYPE, MAP_KEYS, one
from controlplane.apiserver.structural.textformats import nanoseconds

See = Callable[[Any], Any]


def seen(schema: Obj, whole: bool) -> See:
    """A function that makes of a value what expressions see; whole: it is an object of the API."""
    if schema.get(INT_OR_STRING):
        return _as_it_is
    if whole:
        schema = with_meta(schema)
    kind = schema.get("type") or ""
    if kind == "array":
        return _list(schema)
    if kind == "object":
        return _object(schema)
    if kind == "number":
        return lambda value: float(value) if type(value) is int else value
    if kind == "string":
        return _TEXTS.get(schema.get("format") or "", _as_it_is)
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _list(schema: Obj) -> See:
    items = one(schema.get("items")) or {}
    item, kind = seen(items, bool(items.get(EMBEDDED))), schema.get(LIST_TYPE)
    keys = tuple(schema.get(MAP_KEYS) or ())

    def see(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        made = value if item is _as_it_is else [item(each) for each in value]
        if kind == "set":
            return SetList(made)
        return KeyedList(made, tuple(escaped(key) or key for key in keys)) if kind == "map" else made

    return see


def _object(schema: Obj) -> See:
    more = one(schema.get("additionalProperties"))
    if more is not None and not schema.get("properties") and not schema.get(EMBEDDED):
        element = seen(more, bool(more.get(EMBEDDED)))
        if element is _as_it_is:
            return _as_it_is
        return lambda value: {key: element(each) for key, each in value.items()} if isinstance(value, dict) else value
    fields: dict[str, tuple[tuple[str, ...], See]] = {}
    for name, part in (schema.get("properties") or {}).items():
        inside = bool(part.get(EMBEDDED))
        if (shown := escaped(name)) and declared(part, inside) is not None:
            # Most words of the language can be written as they are, too.
            fields[name] = ((shown, name) if name in RESERVED else (shown,), seen(part, inside))

    def see(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        made: dict[str, Any] = {}
        hidden: dict[str, Any] = {}
        for name, each in value.items():
            field = fields.get(name)
            if field is None:
                hidden[name] = each
            elif each is not None:
                made |= dict.fromkeys(field[0], field[1](each))
        return PartMap(made, hidden) if hidden else made

    return see


def _lazily(make: Callable[[str], Any], what: str) -> See:
    def see(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return make(value)
        except ValueError as error:
            return EvaluationError(f"{what} {value}: {error}")
        except EvaluationError as error:
            return EvaluationError(f"{what} {value}: {error}")

    return see


def _moment(text: str) -> Timestamp:
    # Without a zone it is one of UTC.
    try:
        return parse_timestamp(text if text[-1:] in "zZ" or "+" in text or "-" in text[10:] else f"{text}Z")
    except EvaluationError:
        # Upstream tries this spelling last.
        raise EvaluationError(scalars.no_local_time(text)) from None


def _bytes(text: str) -> bytes:
    if "+" in text or "/" in text:
        place = min(text.find(sign) for sign in "+/" if sign in text)
        raise EvaluationError(f"illegal base64 data at input byte {place}")
    try:
        return base64.urlsafe_b64decode(text)
    except binascii.Error as error:
        raise EvaluationError(str(error)) from None


_TEXTS: dict[str, See] = {
    "byte": _lazily(_bytes, "Invalid byte formatted string"),
    "date": _lazily(lambda text: parse_timestamp(f"{text}T00:00:00Z"), "Invalid date formatted string"),
    "date-time": _lazily(_moment, "Invalid date-time formatted string"),
    "duration": _lazily(lambda text: Duration(nanoseconds(text)), "Invalid duration"),
}
