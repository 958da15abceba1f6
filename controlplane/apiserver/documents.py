"""Handlers of the documents about the API itself: discovery and OpenAPI."""

from __future__ import annotations

import hashlib

from apimachinery.errors import NotAcceptable
from apimachinery.objects import Obj, dumps
from controlplane.apiserver.discovery import AGGREGATED_TYPE, Discovery, accepts_aggregated
from controlplane.apiserver.formats import accept
from controlplane.apiserver.formats.negotiate import refuse_shapes
from controlplane.apiserver.openapi.documents import Documents
from controlplane.apiserver.replies import not_allowed, nothing_there
from controlplane.apiserver.request import Handler, Request, Response

OPENAPI_V2_JSON = "application/json"


def discovery_handler(discovery: Discovery) -> Handler:
    """Serves /api, /apis and everything below them that is a group or a group version."""

    async def handle(request: Request) -> Response:
        if request.method != "GET":
            raise not_allowed()
        accepted = request.headers.get("Accept", "")
        document = discovery.find(request.path.rstrip("/"), accepts_aggregated(accepted))
        if document is None:
            raise nothing_there()
        if document.content_type != AGGREGATED_TYPE:
            refuse_shapes(accepted)
        headers = {"ETag": document.etag, "Vary": "Accept", "Cache-Control": "public"}
        if request.headers.get("If-None-Match") == document.etag:
            return Response(304, b"", document.content_type, headers)
        return Response(200, document.body, document.content_type, headers)

    return handle


def openapi_v3_handler(documents: Documents) -> Handler:
    """Serves /openapi/v3 (the index) and one document per group version below it."""

    async def handle(request: Request) -> Response:
        name = request.path.removeprefix("/openapi/v3").strip("/")
        if not name:
            return _cached(request, dumps(documents.index()), {})
        body = documents.v3(name)
        if body is None:
            raise nothing_there()
        # An address with the document's hash in it may be kept for good (RFC 8246).
        lasting = {"Cache-Control": "public, immutable"} if request.param("hash") else {}
        return _cached(request, body, lasting)

    return handle


def fixed(obj: Obj, content_type: str = "application/json") -> Handler:
    """Serves one document that never changes."""
    body = dumps(obj)

    async def handle(request: Request) -> Response:
        return Response(200, body, content_type, {"Cache-Control": "public, max-age=3600"})

    return handle


def openapi_v2_handler(documents: Documents) -> Handler:
    """Serves /openapi/v2 as JSON."""

    async def handle(request: Request) -> Response:
        header = request.headers.get("Accept", "")
        if header and not any(clause.covers(OPENAPI_V2_JSON) for clause in accept.parse(header)):
            raise NotAcceptable("only application/json is served here")
        return _cached(request, documents.v2(), {})

    return handle


def _cached(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    etag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
    out = {"ETag": etag, "Vary": "Accept-Encoding, Accept", **headers}
    if request.headers.get("If-None-Match") == etag:
        return Response(304, b"", "application/json", out)
    return Response(200, body, "application/json", out)
