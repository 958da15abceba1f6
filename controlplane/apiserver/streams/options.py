"""What a stream request asks for, checked, and the agent's path for it. Pure.

The paths are the kubelet's: /containerLogs, /exec, /attach, /portForward, each followed by namespace, pod, container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj

Query = Mapping[str, Sequence[str]]

LOG_FLAGS = ("follow", "previous", "timestamps")
LOG_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
LOG_STREAMS = ("All", "Stdout", "Stderr")


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
    if main:
        text += f", choose one of: [{' '.join(main)}]"
        text += f" or one of the init containers: [{' '.join(init)}]" if init else ""
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]" if ephemeral else ""
    raise errors.BadRequest(text)


def host_of(pod: Obj) -> str:
    """The pod's node. Raises BadRequest while it has none."""
    node = pod["spec"].get("nodeName", "")
    if not node:
        raise errors.BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def log_query(query: Query, pod: str) -> list[tuple[str, str]]:
    """The agent's parameters for a log request. Raises Invalid as upstream's validation of PodLogOptions."""
    numbers = {key: _number(first(query, key)) for key in LOG_NUMBERS if first(query, key)}
    problems = _log_problems(query, numbers)
    if problems:
        raise errors.invalid_object("PodLogOptions", pod, problems)
    out = [(key, "true") for key in LOG_FLAGS if is_set(query, key)]
    out += [(key, str(value)) for key, value in numbers.items()]
    out += [(key, first(query, key)) for key in ("sinceTime", "stream") if first(query, key)]
    return out


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


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
    if (stream := first(query, "stream")) and stream not in LOG_STREAMS:
        problems.append(errors.not_supported("stream", stream, LOG_STREAMS))
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
