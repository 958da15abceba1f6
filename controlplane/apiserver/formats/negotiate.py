"""The choice of a format by a request's Accept header."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.errors import NotAcceptable
from controlplane.apiserver.formats import accept
from controlplane.apiserver.formats.encodings import (
    JSON,
    PROTOBUF,
    YAML,
    MetadataFormat,
    ProtobufFormat,
    TableFormat,
    YamlFormat,
)
from controlplane.apiserver.request import Request
from controlplane.apiserver.seam import Format

SERVED = (JSON, YAML, PROTOBUF)
STREAMED = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
TABLE_VERSIONS = ("v1", "v1beta1")
_ONLY = f"only the following media types are accepted: {', '.join(SERVED)}"
INCLUDES = ("None", "Metadata", "Object")


def negotiate(request: Request) -> Format | None:
    """The format of the answer; None for plain JSON. Raises NotAcceptable as upstream words it.

    A client that takes JSON at all gets JSON before protobuf, whatever it prefers: stored bytes cost nothing
    to send.
    """
    header = request.headers.get("Accept", "")
    if not header:
        return None
    clauses = accept.parse(header)
    known = [(clause, media) for clause in clauses for media in SERVED if clause.covers(media)]
    if not known:
        raise _unknown(request.verb in ("list", "watch"))
    spare: Format | None = None
    for clause, media in known:
        shape = clause.parameters.get("as", "")
        if shape:
            found = _shaped(request, media, shape, clause.parameters)
            if found is not None:
                return found
        elif media == JSON:
            return None
        elif media == YAML and request.verb != "watch":
            return YamlFormat()
        elif media == PROTOBUF and spare is None:
            spare = ProtobufFormat()
    if spare is not None:
        return spare
    raise NotAcceptable(_ONLY)


def _shaped(request: Request, media: str, shape: str, parameters: Mapping[str, str]) -> Format | None:
    """A Table or metadata-only answer; None when this kind or this encoding has no such shape."""
    readable = request.kind is not None and "get" in request.kind.verbs
    if media != JSON or parameters.get("g") != "meta.k8s.io" or not readable:
        return None
    version = parameters.get("v", "")
    if version not in TABLE_VERSIONS:
        return None
    if shape == "Table" and version == "v1":
        include = request.param("includeObject", "Metadata")
        return TableFormat(include if include in INCLUDES else "Metadata")
    many = request.verb in ("list", "watch", "deletecollection")
    if shape == "PartialObjectMetadata" and (not many or request.verb == "watch"):
        return MetadataFormat(f"meta.k8s.io/{version}")
    if shape == "PartialObjectMetadataList" and many:
        return MetadataFormat(f"meta.k8s.io/{version}")
    return None


def of_refusal(header: str) -> Format | None:
    """The encoding of a Status that says no, chosen as for any answer; JSON where the client takes nothing served."""
    spare: Format | None = None
    for clause in accept.parse(header) if header else ():
        if clause.parameters.get("as"):
            continue
        if clause.covers(JSON):
            return None
        if clause.covers(YAML):
            return YamlFormat()
        if clause.covers(PROTOBUF) and spare is None:
            spare = ProtobufFormat()
    return spare


def refuse_shapes(header: str) -> None:
    """Raise NotAcceptable for an Accept header that wants nothing plain, where nothing else is served."""
    clauses = accept.parse(header) if header else []
    known = [clause for clause in clauses for media in SERVED if clause.covers(media)]
    if clauses and not known:
        raise _unknown(streamed=False)
    if known and all(clause.parameters.get("as") for clause in known):
        raise NotAcceptable(_ONLY)


def _unknown(streamed: bool) -> NotAcceptable:
    offered = SERVED + (STREAMED if streamed else ())
    text = f"406: Not Acceptable\n\nAvailable representations: {', '.join(offered)}"
    return NotAcceptable(text, details={})
