"""Merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from apimachinery import jsontext

__all__ = ["merge_patch"]


def merge_patch(obj: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The patched copy of `obj`: null removes, objects merge, everything else replaces."""
    result: dict[str, Any] = jsontext.copied(obj)
    _merge(result, jsontext.copied(patch))
    return result


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    """A new value; nulls inside its objects say "absent" too, also below a list as upstream reads them."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
