"""The path of every request: authenticate, authorize, route, answer; errors become Status bodies here alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.selectors import SelectorError
from controlplane.apiserver import deadlines, measures
from controlplane.apiserver.authn.authenticator import SPACED
from controlplane.apiserver.authz.chain import refusal
from controlplane.apiserver.authz.refusals import Refusals
from controlplane.apiserver.encoding import encoded
from controlplane.apiserver.formats.negotiate import of_refusal
from controlplane.apiserver.reading import Reading
from controlplane.apiserver.replies import missing_page, not_allowed, nothing_there, unwatchable
from controlplane.apiserver.request import (
    HIJACKED,
    Answer,
    Handler,
    Hijacked,
    Reply,
    Request,
    Response,
    attributes,
)
from controlplane.apiserver.supplied import Edge
from controlplane.apiserver.writing import Writing

log = logging.getLogger(__name__)

_SLOW_SECONDS = 1.0
_OF_ONE = frozenset(("update", "patch"))
# What a kind's objects must know, at least one of it, to have paths of their own.
_NAMED = frozenset(("get", "update", "patch", "delete"))
# Methods that are no verb, and yet passed on by a proxy.
_PASSED_ON = frozenset(("OPTIONS",))
# What can be done with the objects of all namespaces at once.
_EVERYWHERE = frozenset(("list", "watch"))


class Pipeline:
    """Callable with a Request; gives what is to be sent."""

    def __init__(self, edge: Edge, reading: Reading, writing: Writing, paths: Mapping[str, Handler]) -> None:
        self._edge = edge
        self._generic: Mapping[str, Handler] = {
            "get": reading.get,
            "list": reading.list,
            "watch": reading.watch,
            "create": writing.create,
            "update": writing.update,
            "patch": writing.patch,
            "delete": writing.delete,
            "deletecollection": writing.deletecollection,
        }
        self._finalize = writing.finalize
        self._learn = reading.learn
        self._refusals = Refusals()
        self._paths = dict(edge.routes.paths)
        self._paths.update(paths)
        self._prefixes = sorted(self._paths, key=len, reverse=True)

    async def __call__(self, request: Request) -> Response | Hijacked:
        started = time.perf_counter()
        try:
            limit = deadlines.limit(request, self._edge.elsewhere(request) is not None)
            await self._identify(request)
            reply = await deadlines.within(limit, self._answer(request), request.verb)
            response = self._encode(request, reply)
        except errors.ApiError as error:
            response = status_response(error, request)
        except SelectorError as error:
            response = status_response(errors.BadRequest(str(error)), request)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            log.exception("%s %s failed (audit id %s)", request.method, request.path, request.audit_id)
            response = status_response(errors.InternalError(f"Internal error occurred: {error}"), request)
        if isinstance(response, Response):
            response = _with_deprecation(request, _with_spaced(request, response))
        self._account(request, response, time.perf_counter() - started)
        return response

    async def _identify(self, request: Request) -> None:
        user = await self._edge.authenticate(request)
        if user is None:
            raise errors.Unauthorized("Unauthorized")
        request.user = user

    async def _answer(self, request: Request) -> Reply:
        wanted = attributes(request)
        decision = await self._edge.authorize(request.user, wanted)
        if not decision.allowed:
            error = refusal(request.user, wanted, decision.reason)
            self._refusals.note(request.user, error.message)
            raise error
        elsewhere = self._edge.elsewhere(request)
        if elsewhere is None and request.kind is None and request.path.startswith("/apis/"):
            await self._learn(request)
            elsewhere = self._edge.elsewhere(request)
        return await (elsewhere or self._handler(request))(request)

    def _handler(self, request: Request) -> Handler:
        if not request.is_resource:
            return self._path_handler(request)
        kind = request.kind
        if kind is None:
            return _missing
        if kind.namespaced and not request.namespace and "list" not in kind.verbs:
            raise nothing_there()
        if request.verb == "watch" and request.subresource:
            raise nothing_there()
        if request.verb == "watch" and request.method != "GET":
            # The path alone says watch.
            raise not_allowed()
        special = self._edge.routes.resources
        if request.verb not in self._generic:
            # No verb of the API: what a resource of its own may be asked for all the same is passed on.
            passed_on = special.get((kind.resource, request.subresource, "*"))
            if passed_on is not None and request.method in _PASSED_ON and request.name:
                return passed_on
            if request.subresource and not self._has(kind, request.subresource):
                raise nothing_there()
            raise not_allowed()
        if request.name and not request.subresource and not _NAMED & set(kind.verbs):
            raise nothing_there()
        if not request.name and request.verb in _OF_ONE:
            raise not_allowed()
        if request.name and request.verb == "create" and not request.subresource:
            raise not_allowed()
        if kind.namespaced and not request.namespace and request.verb not in _EVERYWHERE:
            raise not_allowed()
        for verb in (request.verb, "*"):
            found = special.get((kind.resource, request.subresource, verb))
            if found is not None:
                if request.method == "HEAD" and verb != "*":
                    raise not_allowed()
                return found
        if request.subresource:
            subresource = kind.subresources.get(request.subresource)
            if subresource is None and request.catalog.of(kind).custom is not None:
                raise errors.not_found(kind.plural, request.name, kind.group)
            if subresource is None:
                raise nothing_there()
            if request.verb not in subresource.verbs or request.method == "HEAD":
                raise not_allowed()
            if shared := special.get(("*", request.subresource, request.verb)):
                return shared
            if request.subresource == "finalize":
                return self._finalize
            if request.subresource != "status":
                raise nothing_there()
        elif request.verb not in kind.verbs or request.method == "HEAD" or "list" not in kind.verbs:
            raise unwatchable(kind) if request.verb == "watch" and "list" in kind.verbs else not_allowed()
        return self._generic[request.verb]

    def _has(self, kind: Kind, subresource: str) -> bool:
        routes = self._edge.routes.resources
        return subresource in kind.subresources or any(one[:2] == (kind.resource, subresource) for one in routes)

    def _path_handler(self, request: Request) -> Handler:
        path = request.path
        for prefix in self._prefixes:
            if prefix.endswith("$"):
                if path == prefix[:-1]:
                    return self._paths[prefix]
            elif path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return self._paths[prefix]
        return _missing

    def _encode(self, request: Request, reply: Reply) -> Response | Hijacked:
        if isinstance(reply, (Response, Hijacked)):
            return reply
        return self._encode_answer(request, reply)

    def _encode_answer(self, request: Request, answer: Answer) -> Response:
        format = self._edge.negotiate(request)
        if format is not None and answer.kind is not None and answer.obj.get("kind") == answer.kind.list_kind:
            pieces = format.many(answer.kind, answer.obj["items"], answer.obj["metadata"])
            body, content_type = b"".join(pieces), format.content_type
        else:
            body, content_type = encoded(format, answer.kind, answer.obj)
        return Response(answer.status, body, content_type, answer.headers, tuple(request.warnings))

    def _account(self, request: Request, response: Response | Hijacked, seconds: float) -> None:
        status = 101 if response is HIJACKED or isinstance(response, Hijacked) else response.status
        measures.request(request, status, seconds)
        slow = seconds > _SLOW_SECONDS and request.verb not in deadlines.LONG_RUNNING
        if slow and request.subresource not in deadlines.STREAMS:
            log.warning(
                "slow request: %s %s by %s: %d after %.2f s (audit id %s)",
                request.method,
                request.path,
                request.user.name,
                status,
                seconds,
                request.audit_id,
            )


def _with_spaced(request: Request, response: Response) -> Response:
    """What is wrong with how a request says who sends it is told whatever it asks for."""
    if SPACED not in request.warnings or SPACED in response.warnings:
        return response
    return replace(response, warnings=(SPACED, *response.warnings))


def _with_deprecation(request: Request, response: Response) -> Response:
    # Neither a method nor a subresource that is not there belongs to a kind.
    known = response.status != 405 and not (response.status == 404 and request.subresource)
    row = request.catalog.of(request.kind) if request.kind is not None else None
    text = row.deprecated if row is not None and (known or row.custom is not None) else ""
    return replace(response, warnings=(text, *response.warnings)) if text else response


def status_response(error: errors.ApiError, request: Request | None = None) -> Response:
    """An error as its Status body, in the request's encoding; what was odd about the request is told all the same."""
    status = error.status()
    token = getattr(error, "continue_token", "")
    if token:
        status["metadata"] = {"continue": token}
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    body, content_type = encoded(of_refusal(request), None, status)
    warnings = tuple(request.warnings) if request is not None else ()
    return Response(error.status_code, body, content_type, headers, warnings)


async def _missing(request: Request) -> Reply:
    return missing_page(request)
