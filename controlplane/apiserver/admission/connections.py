"""CONNECT: admission of streams into what objects stand for (exec, attach, port-forward, proxy)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from apimachinery.numerals import whole
from apimachinery.objects import Obj
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.request import Handler, Reply, Request
from controlplane.apiserver.router import is_true

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

_STREAMS = ("stdin", "stdout", "stderr", "tty")
CONNECTED = frozenset(("exec", "attach", "portforward", "proxy"))
Routes = Mapping[tuple[str, str, str], Handler]


def guarded(routes: Routes, registry: Registry) -> dict[tuple[str, str, str], Handler]:
    """The routes, with admission asked before every stream."""
    return {key: _guard(handler, registry) if key[1] in CONNECTED else handler for key, handler in routes.items()}


def _guard(handler: Handler, registry: Registry) -> Handler:
    async def handle(request: Request) -> Reply:
        context = Context(request.catalog, user=request.user, warnings=request.warnings)
        kind, part = request.served, request.subresource
        await registry.admit_connection(kind, part, request.space, request.name, options_of(request), context)
        return await handler(request)

    return handle


def options_of(request: Request) -> Obj:
    """The options object of a CONNECT request, as admission sees it: PodExecOptions and its like."""
    part = request.served.subresources[request.subresource]
    options: Obj = {"kind": part.kind, "apiVersion": request.served.api_version}
    if request.subresource in ("exec", "attach"):
        options |= {key: True for key in _STREAMS if is_true(request.query, key)}
        if container := request.param("container"):
            options["container"] = container
        if command := list(request.query.get("command", ())):
            options["command"] = command
    elif request.subresource == "portforward":
        if ports := [port for port in map(whole, request.query.get("ports", ())) if port is not None]:
            options["ports"] = ports
    else:
        options["path"] = request.tail or "/"
    return options
