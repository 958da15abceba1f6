"""The small texts that cells are made of: ages, selectors, labels, lists cut short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"
DEFAULT = " (default)"
LIST_LIMIT = 3


def human_duration(seconds: float) -> str:
    """A duration in at most two units and about three digits, as kubectl shows ages."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    if years < 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"


def since(stamp: str | None, now: datetime) -> str:
    """The age of a time stamp; `<unknown>` without one."""
    return human_duration((now - parse_time(stamp)).total_seconds()) if stamp else UNKNOWN


def between(start: str, end: str) -> str:
    return human_duration((parse_time(end) - parse_time(start)).total_seconds())


def age(obj: Obj, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def name(obj: Obj) -> str:
    return str(obj["metadata"].get("name", ""))


def labels(values: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={values[key]}" for key in sorted(values)) if values else NONE


def selector(obj: Mapping[str, Any] | None) -> str:
    """A LabelSelector in the notation of query strings.

    None selects nothing, {} everything; neither has a text.
    """
    if not obj:
        return ""
    parts = [(key, f"{key}={value}") for key, value in (obj.get("matchLabels") or {}).items()]
    for requirement in obj.get("matchExpressions") or ():
        key, values = requirement.get("key", ""), ",".join(sorted(requirement.get("values") or ()))
        shape = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        if requirement.get("operator") not in shape:
            return "<error>"
        parts.append((key, shape[requirement["operator"]]))
    return ",".join(part for _, part in sorted(parts, key=lambda pair: pair[0]))


def selector_or_none(obj: Mapping[str, Any] | None) -> str:
    return selector(obj) or NONE


def shortened(items: Sequence[str], limit: int = LIST_LIMIT, separator: str = ",") -> str:
    shown = separator.join(items[:limit])
    return f"{shown} + {len(items) - limit} more..." if len(items) > limit else shown


def joined(items: Iterable[Any] | None) -> str:
    return ",".join(str(item) for item in items or ())


def template_cells(pod_spec: Mapping[str, Any] | None) -> list[str]:
    """Names and images of the containers of a pod template."""
    containers = (pod_spec or {}).get("containers") or ()
    return [joined(c.get("name", "") for c in containers), joined(c.get("image", "") for c in containers)]


def bool_text(value: bool | None) -> str:
    return UNSET if value is None else str(value)
