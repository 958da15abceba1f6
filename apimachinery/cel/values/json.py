"""JSON values as values of expressions, and back. Pure.

JSON's values are values as they are; only dicts and lists from elsewhere are looked through for what is none.
"""

from __future__ import annotations

import base64
from typing import Any

from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.kinds import Count, Instance, Optional, keys, value_type
from apimachinery.cel.values.times import Duration, Timestamp

# orjson, which writes what is stored, nests 254 deep at most; what lies around a value takes its part of that.
_DEEPEST = 200
# Each part is copied and written several times on its way to the store; a text with all its characters.
_PART = 10


def to_json(count: Count, value: Any) -> Any:
    """A value as JSON. Raises EvaluationError for what is none or nested too deeply."""
    return _Writer(count).write(value, 0)


class _Writer:
    """Writes a value; what shares its parts is larger than it looks, so the parts are counted."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def write(self, value: Any, depth: int) -> Any:
        self._count(_PART + (len(value) if isinstance(value, str | bytes) else 0))
        if depth > _DEEPEST:
            raise EvaluationError("value is nested too deeply")
        return self._written(value, depth + 1)

    def _written(self, value: Any, depth: int) -> Any:
        match value:
            case None | bool() | str() | float():
                return value
            case int():
                return int(value)
            case bytes():
                return base64.b64encode(value).decode()
            case list():
                return [self.write(item, depth) for item in value]
            case dict():
                pairs = zip(keys(value), value.values(), strict=True)
                return {self._key(key): self.write(item, depth) for key, item in pairs}
            case Instance():
                return {key: self.write(item, depth) for key, item in value.fields.items()}
            case Duration() | Timestamp():
                return value.text()
            case Optional():
                return self.write(value.value, depth) if value.there else None
        raise EvaluationError(f"type conversion error from '{value_type(value)}' to 'google.protobuf.Value'")

    def _key(self, key: Any) -> str:
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, float):
            raise EvaluationError("type conversion error from 'map' to 'google.protobuf.Struct'")
        text = key if isinstance(key, str) else str(int(key))
        self._count(len(text))
        return text
