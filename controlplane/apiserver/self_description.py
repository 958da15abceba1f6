"""Handlers of the documents about the API itself: the index of paths, discovery and OpenAPI."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Protocol

from apimachinery import accept
from apimachinery.objects import Obj, dumps, loads
from controlplane.apiserver.catalog.catalog import Current
from controlplane.apiserver.discovery import Discovery, Sources
from controlplane.apiserver.formats import compression, negotiate
from controlplane.apiserver.formats.encodings import Json
from controlplane.apiserver.formats.media import JSON
from controlplane.apiserver.openapi import gnostic, merging
from controlplane.apiserver.openapi.documents import Documents
from controlplane.apiserver.replies import missing_page, not_allowed
from controlplane.apiserver.request import Handler, Reply, Request, Response

_AGGREGATED = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# What /openapi/v2 is served as, in the order in which a range is answered, and what each is then called.
_SWAGGER = {JSON: JSON, gnostic.OLD_MEDIA_TYPE: gnostic.MEDIA_TYPE, gnostic.MEDIA_TYPE: gnostic.MEDIA_TYPE}


def index_handler(sources: Sources, paths: Iterable[str]) -> Handler:
    """Serves RootPaths: every path that is no resource, sorted. `paths` are keys of `Routes.paths`."""
    plain = {path.rstrip("$").rstrip("/") for path in paths} - {""}

    def build() -> bytes:
        served = Discovery(sources.kinds(), "", sources.others()).paths()
        return Json(pretty=True).document({"paths": sorted(plain.union(served))})

    index = Current(sources, build)

    async def handle(request: Request) -> Response:
        return Response(200, index.get())

    return handle


class Document:
    """A document's bytes with their entity tag, and compressed when that was first asked for."""

    def __init__(self, body: bytes, etag: str = "") -> None:
        self.body = body
        self.etag = etag or f'"{hashlib.sha512(body).hexdigest().upper()}"'
        self._gzipped: bytes | None = None

    async def response(self, request: Request, content_type: str, headers: Mapping[str, str]) -> Response:
        """The document, or 304 for a client that has it already."""
        headers = {"ETag": self.etag, **headers}
        known = request.headers.get("If-None-Match", "").split(",")
        if self.etag in (tag.strip().removeprefix("W/") for tag in known):
            return Response(304, b"", content_type, headers)
        if len(self.body) <= compression.THRESHOLD_BYTES or not compression.accepts_gzip(request.headers):
            return Response(200, self.body, content_type, headers)
        if self._gzipped is None:
            self._gzipped = await asyncio.to_thread(compression.gzipped, self.body)
        return Response(200, self._gzipped, content_type, {**headers, "Content-Encoding": "gzip"})


def discovery_handler(sources: Sources, address: str) -> Handler:
    """Serves /api, /apis and everything below them that is a group or a group version.

    address: host:port of the server, as /api tells it.
    """

    def build() -> tuple[Discovery, dict[tuple[str, bool, str], Document]]:
        return Discovery(sources.kinds(), address, sources.others()), {}

    current = Current(sources, build)

    async def handle(request: Request) -> Response:
        discovery, encoded = current.get()
        path = request.path.rstrip("/")
        if path not in discovery.paths():
            return missing_page(request)
        # Upstream serves the groups, and what a group is, whatever the method.
        if request.method != "GET" and not (path.startswith("/apis") and path.count("/") <= 2):
            raise not_allowed()
        encoding = negotiate.aggregated(request) if path in ("/api", "/apis") else None
        whole = encoding is not None
        encoding = encoding or negotiate.plain(request)
        key = (path, whole, encoding.key)
        if key not in encoded:
            obj = discovery.find(path, whole)
            if obj is None:
                # An APIService speaks of it, and nothing is served there.
                return missing_page(request)
            # One tag for all encodings: `Vary` keeps them apart.
            encoded[key] = Document(encoding.document(obj), Document(dumps(obj)).etag)
        headers = {"Vary": "Accept", "Cache-Control": "public"}
        return await encoded[key].response(request, encoding.media + _AGGREGATED * whole, headers)

    return handle


class OtherDocuments(Protocol):
    """The documents of what other servers serve; version is another after each change."""

    @property
    def version(self) -> Hashable: ...

    def index(self) -> Mapping[str, Obj]:
        """Name of a document -> its entry in the index."""

    def handler(self, name: str) -> Handler | None:
        """Who serves a document."""

    def swaggers(self) -> Sequence[Obj]:
        """The Swagger 2.0 document of each."""


def openapi_v3_handler(openapi: Current[Documents], others: OtherDocuments) -> Handler:
    """Serves /openapi/v3 (the index) and one document per group version below it."""
    built: dict[tuple[Documents, Hashable, str], Document] = {}

    def index(documents: Documents) -> Obj:
        own = documents.index()
        return {**own, "paths": {**others.index(), **own["paths"]}}

    async def handle(request: Request) -> Reply:
        name = request.path.removeprefix("/openapi/v3").strip("/")
        documents = openapi.get()
        key = (documents, others.version, name)
        if key not in built:
            body = documents.v3(name) if name else dumps(index(documents))
            if body is None:
                elsewhere = others.handler(name)
                # Upstream says so by the status alone.
                return await elsewhere(request) if elsewhere is not None else Response(404, b"", "")
            for stale in [one for one in built if one[:2] != key[:2]]:
                del built[stale]
            built[key] = Document(body)
        # An address with the document's hash in it may be kept for good (RFC 8246).
        lasting = {"Cache-Control": "public, immutable"} if name and request.param("hash") else {}
        return await built[key].response(request, JSON, {"Vary": "Accept-Encoding, Accept", **lasting})

    return handle


def fixed(obj: Obj, content_type: str = JSON) -> Handler:
    """Serves one document that never changes."""
    body = dumps(obj)

    async def handle(request: Request) -> Response:
        if request.method != "GET":
            raise not_allowed()
        negotiate.offered(request.headers.get("Accept", ""), (content_type,))
        return Response(200, body, content_type, {"Cache-Control": "public, max-age=3600"})

    return handle


def openapi_v2_handler(openapi: Current[Documents], others: OtherDocuments) -> Handler:
    """Serves /openapi/v2 as JSON and as gnostic's protobuf, which kubectl up to 1.28 and Helm up to 3.11 need."""
    built: dict[tuple[Documents, Hashable, str], Document] = {}
    one_at_a_time = asyncio.Lock()

    def build(key: tuple[Documents, Hashable, str], swaggers: Sequence[Obj]) -> None:
        documents, version, media = key
        for stale in [one for one in built if one[:2] != key[:2]]:
            del built[stale]
        plain = (documents, version, JSON)
        if plain not in built:
            own = documents.v2()
            built[plain] = Document(dumps(merging.merged(loads(own), swaggers)) if swaggers else own)
        if media != JSON:
            packed = gnostic.document(loads(built[plain].body)) if swaggers else documents.v2_protobuf()
            built[key] = Document(packed, built[plain].etag)

    async def handle(request: Request) -> Response:
        media = _swagger_type(request.headers.get("Accept", "") or "*/*")
        if media is None:
            # Upstream says so by the status alone.
            return Response(406, b"", "", {"Vary": "Accept-Encoding, Accept"})
        # The first time takes a third of a second, and the first few requests come together.
        async with one_at_a_time:
            key = (openapi.get(), others.version, media)
            if key not in built:
                await asyncio.to_thread(build, key, others.swaggers())
            document = built[key]
        return await document.response(request, media, {"Vary": "Accept-Encoding, Accept"})

    return handle


def _swagger_type(header: str) -> str | None:
    for clause in accept.parse(header):
        for media, called in _SWAGGER.items():
            if clause.covers(media):
                return called
    return None
