"""The words of the strategic merge language, and how its errors read."""

from __future__ import annotations

from typing import Any, NoReturn

from apimachinery import errors

__all__ = ["DELETE_FROM", "DIRECTIVE", "ORDER", "RETAIN", "bad_format", "failure", "go_string", "go_text", "plain"]

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"


def failure(message: str) -> NoReturn:
    """A patch that cannot be carried out: upstream answers 500 without a reason."""
    raise errors.ApiError(message)


def bad_format(what: str) -> NoReturn:
    raise errors.BadRequest(f"invalid patch format of {what}")


def plain(value: Any) -> Any:
    """A value that is new to the object: without directives and without nulls in its maps."""
    if isinstance(value, dict):
        return {
            key: plain(item)
            for key, item in value.items()
            if item is not None and key not in (DIRECTIVE, RETAIN) and not key.startswith((ORDER, DELETE_FROM))
        }
    if isinstance(value, list):
        return [plain(item) for item in value if not _special(item)]
    return value


def _special(item: Any) -> bool:
    return isinstance(item, dict) and item.get(DIRECTIVE) in ("delete", "replace")


def go_string(value: Any) -> str:
    """A value as Go's %s prints it, which upstream uses of directives: what is no text shows its type."""
    if isinstance(value, str):
        return value
    if value is None:
        return "%!s(<nil>)"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_string(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_string, value)) + "]"
    kind = "bool" if isinstance(value, bool) else "int64" if isinstance(value, int) else "float64"
    return f"%!s({kind}={go_text(value)})"


def go_text(value: Any) -> str:
    """A value as Go's %v prints it, which upstream's messages show."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    return errors.number(value) if isinstance(value, float) else str(value)
