"""Merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

__all__ = ["merge_patch"]


def merge_patch(obj: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`obj` patched, in a new object: null removes, objects merge, everything else replaces. Neither argument is
    changed; what the patch does not reach is shared with `obj`.
    """
    result = dict(obj)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(before := result.get(key), dict):
            result[key] = merge_patch(before, value)
        else:
            result[key] = _without_nulls(value)
    return result


def _without_nulls(value: Any) -> Any:
    """A new value; nulls inside its objects say "absent" too, also below a list as upstream reads them."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
