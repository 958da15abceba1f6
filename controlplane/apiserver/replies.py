"""What is said to requests that lead nowhere."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import Kind
from controlplane.apiserver.request import Request, Response

_NO_PAGE = Response(404, b"404 page not found\n", "text/plain; charset=utf-8")


def nothing_there() -> errors.ApiError:
    return errors.NotFound("the server could not find the requested resource", details={})


def not_allowed() -> errors.ApiError:
    return errors.MethodNotAllowed("the server does not allow this method on the requested resource", details={})


def unwatchable(kind: Kind) -> errors.ApiError:
    """What can be listed and not watched."""
    details = {"group": kind.group, "kind": kind.plural} if kind.group else {"kind": kind.plural}
    return errors.MethodNotAllowed(f'watch is not supported on resources of kind "{kind.resource}"', details=details)


def missing_page(request: Request) -> Response:
    """The answer for a path where nothing is; below a group that is served (raised) a Status."""
    group = request.path.split("/")[2:3] if request.path.startswith("/apis/") else [""]
    named = request.group or group[0]
    if request.path.startswith("/api/") or (named and named in request.catalog.groups):
        raise nothing_there()
    return _NO_PAGE
