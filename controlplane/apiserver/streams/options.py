"""What a stream request asks for, checked, and the agent's path for it. Pure.

The paths are the kubelet's: /containerLogs, /exec, /attach, /portForward, each followed by namespace, pod, container.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver import listing

Query = Mapping[str, Sequence[str]]

LOG_FLAGS = ("follow", "previous", "timestamps")
LOG_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
# How a time is written, loosely: whoever cuts the log by it reads it.
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|[+-](\d\d):(\d\d))\Z", re.ASCII)
_CLOCK = ("hour", "minute", "second", "time zone offset hour", "time zone offset minute")


def first(query: Query, key: str) -> str:
    values = query.get(key)
    return values[0] if values else ""


def is_set(query: Query, key: str) -> bool:
    """A boolean parameter as upstream converts it: present and neither "0" nor "false"."""
    values = query.get(key)
    return bool(values) and values is not None and values[0].lower() not in ("0", "false")


def choose_container(pod: Obj, wanted: str) -> str:
    """The container's name, checked; the only one when none is wanted. Raises BadRequest."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    main = [c["name"] for c in spec.get("containers") or ()]
    init = [c["name"] for c in spec.get("initContainers") or ()]
    ephemeral = [c["name"] for c in spec.get("ephemeralContainers") or ()]
    if wanted:
        if wanted not in (*main, *init, *ephemeral):
            raise errors.BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1:
        return str(main[0])
    text = f"a container name must be specified for pod {name}"
    text += f", choose one of: [{' '.join((*init, *main, *ephemeral))}]" if main else ""
    raise errors.BadRequest(text)


def host_of(pod: Obj) -> str:
    """The pod's node. Raises BadRequest while it has none."""
    node = pod["spec"].get("nodeName", "")
    if not node:
        raise errors.BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def log_query(query: Query, pod: str) -> list[tuple[str, str]]:
    """The agent's parameters for a log request. Raises BadRequest, and Invalid as upstream's PodLogOptions."""
    numbers = {key: listing.int64(first(query, key)) for key in LOG_NUMBERS if key in query}
    since = first(query, "sinceTime")
    if since and (wrong := _not_a_time(since)):
        raise errors.BadRequest(f'parsing time "{since}"{wrong}')
    if problems := _log_problems(query, numbers):
        raise errors.invalid_object("PodLogOptions", pod, problems)
    out = [(key, "true") for key in LOG_FLAGS if is_set(query, key)]
    out += [(key, str(value)) for key, value in numbers.items()]
    return out + ([("sinceTime", since)] if since else [])


def _not_a_time(text: str) -> str:
    """What Go's time.Parse says of the first part that is out of its range, in its order; nothing of a time."""
    match = _RFC3339.match(text)
    if match is None:
        return f' as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"'
    year, month, day, *clock = (int(part or 0) for part in match.groups())
    named = zip(clock, (23, 59, 59, 24, 60), _CLOCK, strict=True)
    if not 1 <= month <= 12:
        return ": month out of range"
    if late := next((which for value, most, which in named if value > most), None):
        return f": {late} out of range"
    # The calendar repeats itself after 400 years, and datetime knows no year 0.
    return "" if 1 <= day <= calendar.monthrange(year % 400 + 400, month)[1] else ": day out of range"


def _log_problems(query: Query, numbers: Mapping[str, int]) -> list[FieldError]:
    problems: list[FieldError] = []
    if numbers.get("tailLines", 0) < 0:
        problems.append(errors.invalid("tailLines", numbers["tailLines"], "must be greater than or equal to 0"))
    if numbers.get("limitBytes", 1) < 1:
        problems.append(errors.invalid("limitBytes", numbers["limitBytes"], "must be greater than 0"))
    if "sinceSeconds" in numbers and first(query, "sinceTime"):
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        problems.append(errors.field_forbidden("[]", text))
    elif numbers.get("sinceSeconds", 1) < 1:
        problems.append(errors.invalid("sinceSeconds", numbers["sinceSeconds"], "must be greater than 0"))
    if "stream" in query:
        # Streams apart are behind a feature gate that is off.
        problems.append(errors.field_forbidden("stream", "may not be specified"))
    return problems


def stream_query(query: Query) -> list[tuple[str, str]]:
    """The agent's parameters for exec and attach."""
    out = [(theirs, "1") for ours, theirs in STREAMS if is_set(query, ours)]
    return out + [("command", word) for word in query.get("command", ())]


def forward_query(query: Query) -> list[tuple[str, str]]:
    return [("port", port) for port in query.get("ports", ())]


def agent_path(what: str, pod: Obj, container: str, query: Sequence[tuple[str, str]]) -> str:
    """`/exec/NS/POD/CONTAINER?input=1…`; without a container for portForward."""
    metadata: Mapping[str, Any] = pod["metadata"]
    parts = [what, metadata["namespace"], metadata["name"], *([container] if container else [])]
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{path}?{urlencode(query)}" if query else path
