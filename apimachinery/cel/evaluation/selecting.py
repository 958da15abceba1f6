"""Fields and elements: of maps, lists, objects, and of those that may not be there. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.values.faults import EvaluationError, no_overload
from apimachinery.cel.values.kinds import (
    NONE,
    EndlessMap,
    Instance,
    Lazy,
    Optional,
    as_key,
    told,
    type_name,
    value_type,
)


def select(value: Any, field: str) -> Any:
    """A field of something. Raises EvaluationError."""
    if isinstance(value, dict):
        try:
            found = value[field]
        except KeyError:
            raise EvaluationError(f"no such key: {field}") from None
        if isinstance(found, EvaluationError):
            raise found
        return found
    if isinstance(value, Lazy):
        return value.field(field)
    if isinstance(value, Instance):
        if field in value.fields:
            return value.fields[field]
        raise EvaluationError(f"no such key: {field}")
    if isinstance(value, Optional):
        return optional_field(value, field)
    if isinstance(value, list):
        return index(value, field)
    raise EvaluationError(f"no such key: {field}")


def has(value: Any, field: str) -> bool:
    """Whether a field is there. Raises EvaluationError for what has no fields."""
    if isinstance(value, dict):
        return field in value or isinstance(value, EndlessMap)
    if isinstance(value, Instance):
        return field in value.fields
    if isinstance(value, Lazy):
        value.field(field)
        return True
    if isinstance(value, Optional):
        return value.there and has(value.value, field)
    if isinstance(value, list):
        index(value, field)
    return False


def index(value: Any, key: Any) -> Any:
    """An element of a list or map. Raises EvaluationError."""
    if isinstance(value, list):
        place = _place(key)
        if 0 <= place < len(value):
            return value[place]
        raise EvaluationError(f"index out of bounds: {place}")
    if isinstance(value, dict):
        found = _lookup(value, key)
        if found is NONE:
            raise EvaluationError(f"no such key: {_shown(key)}")
        return found.value
    if isinstance(value, Optional):
        return optional_field(value, key)
    if isinstance(value, Instance | Lazy) and isinstance(key, str):
        return select(value, key)
    raise EvaluationError(f"no such key: {_shown(key)}")


def optional_field(value: Any, key: Any) -> Optional:
    """An element or field as an optional: none where it is absent. Raises EvaluationError."""
    if isinstance(value, Optional):
        if value.there and not isinstance(value.value, list | dict | Instance | Lazy | Optional):
            raise no_overload()
        return optional_field(value.value, key) if value.there else NONE
    if isinstance(value, list):
        place = _place(key)
        return Optional(value[place], True) if 0 <= place < len(value) else NONE
    if isinstance(value, dict):
        return _lookup(value, key)
    if isinstance(value, Instance | Lazy) and isinstance(key, str):
        return Optional(select(value, key), True) if has(value, key) else NONE
    return NONE


def _lookup(value: dict[Any, Any], key: Any) -> Optional:
    try:
        return Optional(value[as_key(key)], True)
    except (EvaluationError, KeyError):
        return NONE


def _place(key: Any) -> int:
    if isinstance(key, bool) or not isinstance(key, int | float):
        raise EvaluationError(f"unsupported index type '{type_name(value_type(key))}' in list")
    if isinstance(key, float) and not key.is_integer():
        raise EvaluationError(f"unsupported index value {key} in list")
    return int(key)


def _shown(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else told(int(key) if isinstance(key, int) else key)


def absent_is_none(field: Any, value: Any) -> Optional | None:
    """The optional that an entry is initialised from, None where it holds none. Raises EvaluationError."""
    if not isinstance(value, Optional):
        raise EvaluationError(f"cannot initialize optional entry '{told(field)}' from non-optional value {told(value)}")
    return value if value.there else None
