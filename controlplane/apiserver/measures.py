"""The server's metrics, under upstream's names."""

from __future__ import annotations

from functools import lru_cache

from apimachinery.kit import metrics
from controlplane.apiserver.request import Request

_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")
_OF_RESOURCES = ("GET", "LIST", "WATCH", "CREATE", "UPDATE", "PATCH", "DELETE", "DELETECOLLECTION")
_VERBS = frozenset((*_OF_RESOURCES, "POST", "PUT"))
_REQUESTS = metrics.counter(
    "apiserver_request",
    "Requests by verb, resource and status code.",
    (*_LABELS, "code"),
)
_SECONDS = metrics.histogram("apiserver_request_duration_seconds", "Time to answer, watches left out.", _LABELS)
WATCHERS = metrics.gauge("apiserver_longrunning_requests", "Watches being served.", ("resource",))


@lru_cache(maxsize=4096)
def _counter(labels: tuple[str, ...], code: str) -> metrics.Counter:
    return _REQUESTS.labels(*labels, code)


@lru_cache(maxsize=4096)
def _duration(labels: tuple[str, ...]) -> metrics.Histogram:
    return _SECONDS.labels(*labels)


def _verb(request: Request) -> str:
    """A client may invent methods without end; a series each would fill the memory."""
    shown = "GET" if request.verb == "head" else request.verb.upper()
    return shown if shown in _VERBS else "other"


def request(request: Request, status: int, seconds: float) -> None:
    """Count one answered request. The library takes longer to find a series than to count, so they are kept."""
    scope = ""
    if request.is_resource:
        single = bool(request.name) or request.verb == "create"
        scope = "resource" if single else "namespace" if request.namespace else "cluster"
    known = request.kind is not None
    labels = (
        _verb(request),
        request.group if known else "",
        request.version if known else "",
        request.resource if known else "",
        request.subresource if known else "",
        scope,
    )
    _counter(labels, str(status)).inc()
    if request.verb != "watch":
        _duration(labels).observe(seconds)
