"""The choice of a format by a request's Accept header, its `pretty` and who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from apimachinery import accept, errors
from apimachinery.errors import NotAcceptable
from apimachinery.kinds import Kind
from controlplane.apiserver.encoding import Format
from controlplane.apiserver.formats.encodings import Encoding, Json, Protobuf, Yaml
from controlplane.apiserver.formats.media import JSON, PROTOBUF, YAML
from controlplane.apiserver.formats.shapes import META_VERSIONS, Converted, MetadataFormat, TableFormat, WholeFormat
from controlplane.apiserver.request import Request
from controlplane.apiserver.tables.workloads import SCALE

SERVED: Mapping[str, Encoding] = {JSON: Json(), YAML: Yaml(), PROTOBUF: Protobuf()}
STREAMED = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
INCLUDES = ("", "None", "Metadata", "Object")
# What is made there and not kept has no columns.
_WITHOUT_COLUMNS = frozenset(("binding", "eviction", "token"))
AGGREGATED = "apidiscovery.k8s.io/v2/APIGroupDiscoveryList"
_PLAIN = frozenset(("", JSON, "*/*"))
# Who reads for a person, by what the user agent begins with.
_PEOPLE = ("curl", "Wget", "Mozilla/5.0")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))

# What a clause asks for besides an encoding, "GROUP/VERSION/KIND" or "" -> whether that can be had in an encoding.
Allows = Callable[[str, str], bool]


def negotiate(request: Request) -> Format | None:
    """The format of the answer; None for plain JSON of the version that is stored.

    Raises NotAcceptable as upstream words it, BadRequest.
    """
    found = _asked_for(request)
    conversion = request.catalog.conversion(request.kind) if request.kind is not None else None
    if conversion is None or isinstance(found, MetadataFormat):
        return found
    if isinstance(found, TableFormat):
        # Cells are made of what is stored, and metadata is the same in every version.
        return replace(found, shown=conversion.shown)
    return Converted(found or WholeFormat(), conversion.shown)


def _asked_for(request: Request) -> Format | None:
    """The same for objects as they are stored."""
    header = request.headers.get("Accept", "")
    if header in _PLAIN:
        # What most ask for needs no weighing.
        return WholeFormat(Json(pretty=True)) if request.verb != "watch" and is_pretty(request) else None
    custom = request.kind is not None and request.catalog.custom(request.kind) is not None
    if not custom:
        offered(header, (*SERVED, *(STREAMED if request.verb in ("list", "watch") else ())))
    kind = request.kind if request.kind is not None and "get" in request.kind.verbs else None
    columns = request.subresource not in _WITHOUT_COLUMNS

    def allows(media: str, shape: str) -> bool:
        return _encodes(request, media) if not shape else kind is not None and _has_shape(media, shape, columns)

    found = choose(header, allows)
    streamed = request.verb == "watch"
    if found is None or (streamed and found[0] == YAML):
        raise NotAcceptable(_only(STREAMED if found is not None and not custom else SERVED))
    media, shape, parameters = found
    encoding = SERVED[media]
    if not streamed and media == JSON and (parameters.get("pretty") == "1" or is_pretty(request)):
        encoding = Json(pretty=True)
    if not shape:
        return None if encoding == SERVED[JSON] else WholeFormat(encoding)
    version, _, name = shape.rpartition("/")
    if name == "Table":
        assert kind is not None
        row = request.catalog.of(kind)
        scale = row.custom.scale if row.custom is not None and request.subresource == "scale" else None
        how = (_include(request), version)
        return TableFormat(encoding, row.columns, *how, scale=SCALE if scale is None else scale.columns)
    _fits(name, request, kind)
    return MetadataFormat(encoding, version)


def choose(header: str, allows: Allows) -> tuple[str, str, Mapping[str, str]] | None:
    """The first clause that can be answered: its media type, what it asks for besides ("" or "GROUP/VERSION/KIND")
    and its parameters; None when there is none.
    """
    if not header:
        return (JSON, "", {}) if allows(JSON, "") else None
    for clause in accept.parse(header):
        asked = clause.parameters
        shape = "/".join(asked.get(key, "") for key in ("g", "v", "as")) if {"g", "v", "as"} & set(asked) else ""
        for media in SERVED:
            if not clause.covers(media) or asked.get("stream", "watch") != "watch" or asked.get("sv", "v1") != "v1":
                continue
            if media == YAML and "stream" in asked:
                continue
            if allows(media, shape):
                return media, shape, asked
    return None


def plain(request: Request) -> Encoding:
    """The encoding of what is served in no other shape: discovery's documents. Raises NotAcceptable."""
    header = request.headers.get("Accept", "")
    offered(header, SERVED)
    found = choose(header, lambda media, shape: not shape)
    if found is None:
        raise NotAcceptable(_only(SERVED))
    return _encoding(found, request)


def aggregated(request: Request) -> Encoding | None:
    """The encoding of an aggregated discovery document; None when the client asks for the plain one first."""
    found = choose(request.headers.get("Accept", ""), lambda media, shape: shape == AGGREGATED and media != PROTOBUF)
    return _encoding(found, request) if found is not None else None


def of_refusal(request: Request | None) -> Format | None:
    """The encoding of a Status that says no; None for plain JSON, also where the client takes nothing served."""
    if request is None:
        return None
    found = choose(request.headers.get("Accept", ""), lambda media, shape: not shape)
    encoding = _encoding(found, request) if found is not None else Json(pretty=True)
    return None if encoding == SERVED[JSON] else WholeFormat(encoding)


def offered(header: str, media: Iterable[str]) -> None:
    """The first look at the header, which takes a media type by its name or anything at all: no `application/*`.

    Raises NotAcceptable.
    """
    named, there = {clause.partition(";")[0].strip(" ") for clause in header.split(",")}, tuple(media)
    if header and not named & {"*/*", *there}:
        text = f"406: Not Acceptable\n\nAvailable representations: {', '.join(there)}"
        raise NotAcceptable(text, details={})


def is_pretty(request: Request) -> bool:
    """Whether JSON is laid out for a person: by the parameter or, without it, by the user agent."""
    if given := request.param("pretty"):
        return given in _TRUE
    return request.headers.get("User-Agent", "").startswith(_PEOPLE)


def _encoding(found: tuple[str, str, Mapping[str, str]], request: Request) -> Encoding:
    media, _, parameters = found
    if media == JSON and (parameters.get("pretty") == "1" or is_pretty(request)):
        return Json(pretty=True)
    return SERVED[media]


def _only(media: Iterable[str]) -> str:
    return f"only the following media types are accepted: {', '.join(media)}"


def _has_shape(media: str, shape: str, columns: bool) -> bool:
    version, _, name = shape.rpartition("/")
    if version not in META_VERSIONS:
        return False
    if name == "Table":
        return columns and media != PROTOBUF
    return name in ("PartialObjectMetadata", "PartialObjectMetadataList")


def _encodes(request: Request, media: str) -> bool:
    """Whether whole objects can be written so: protobuf is for the types that upstream publishes alone."""
    kind = request.kind
    return media != PROTOBUF or kind is None or not request.catalog.of(kind).definitions


def _include(request: Request) -> str:
    include = request.param("includeObject")
    if include not in INCLUDES:
        text = f"Invalid value: {errors.quoted(include)}: must be 'Metadata', 'Object', 'None', or empty"
        raise errors.BadRequest(f"Unable to convert to Table as requested: includeObject: {text}")
    return include or "Metadata"


def _fits(shape: str, request: Request, kind: Kind | None) -> None:
    """Metadata of one object for a list, or of a list for one object, is an error: no other clause is tried."""
    if request.verb == "watch" or kind is None:
        return
    many = request.verb in ("list", "deletecollection")
    if many == (shape == "PartialObjectMetadataList"):
        return
    name = kind.list_kind if many else kind.kind
    odd = "is a list" if many else "is not a list"
    # Upstream names the Go type, in the package of the group's internal types.
    package = "core" if kind.kind == "Event" else kind.group.partition(".")[0] or "core"
    raise NotAcceptable(f"you requested {shape}, but the requested object {odd} (*{package}.{name})")
