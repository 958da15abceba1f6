"""The words of the strategic merge language, and how its errors read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NoReturn

from apimachinery import errors

__all__ = [
    "DELETE_FROM",
    "DIRECTIVE",
    "GONE",
    "ORDER",
    "RETAIN",
    "bad_format",
    "drop_nulls",
    "failure",
    "go_string",
    "go_text",
    "undirected",
]

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"
GONE: Final = object()


def failure(message: str) -> NoReturn:
    """A patch that cannot be carried out: upstream answers 500 without a reason."""
    raise errors.ApiError(message)


def bad_format(what: str) -> NoReturn:
    raise errors.BadRequest(f"invalid patch format of {what}")


def drop_nulls(value: Any) -> None:
    """Take the nulls out of a patch's maps, where they are: a refusal shows the patch without them."""
    if isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
        value = value.values()
    if not isinstance(value, str):
        for item in value if isinstance(value, Iterable) else ():
            drop_nulls(item)


def undirected(value: Any) -> Any:
    """A value that is taken over whole: what says how to patch something has nothing to patch, and is GONE. Changed
    where it is. Other directives stay, as fields that no type knows.
    """
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return GONE
        for key, item in list(value.items()):
            left = undirected(item)
            if left is GONE:
                del value[key]
            else:
                value[key] = left
    elif isinstance(value, list):
        return [left for item in value if (left := undirected(item)) is not GONE]
    return value


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
