"""JSON values as values of expressions, and back. Pure.

JSON's values are values as they are; only dicts and lists from elsewhere are looked through for what is none.
"""

from __future__ import annotations

import base64
from typing import Any

from apimachinery.cel.values.faults import CostExceeded, EvaluationError
from apimachinery.cel.values.kinds import Instance, Optional, keys, value_type
from apimachinery.cel.values.times import Duration, Timestamp

# Parts of a value that is written.
_MOST_PARTS = 1_000_000


def to_json(value: Any) -> Any:
    """A value as JSON. Raises EvaluationError for what is none, CostExceeded for what is too large."""
    return _Writer().write(value)


class _Writer:
    """Writes a value; what shares its parts is larger than it looks, so the parts are counted."""

    def __init__(self) -> None:
        self._left = _MOST_PARTS

    def write(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
        return self._written(value)

    def _written(self, value: Any) -> Any:
        match value:
            case None | bool() | str() | float():
                return value
            case int():
                return int(value)
            case bytes():
                return base64.b64encode(value).decode()
            case list():
                return [self.write(item) for item in value]
            case dict():
                return {_key(key): self.write(item) for key, item in zip(keys(value), value.values(), strict=True)}
            case Instance():
                return {key: self.write(item) for key, item in value.fields.items()}
            case Duration() | Timestamp():
                return value.text()
            case Optional():
                return self.write(value.value) if value.there else None
        raise EvaluationError(f"type conversion error from '{value_type(value)}' to 'google.protobuf.Value'")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(int(key))
