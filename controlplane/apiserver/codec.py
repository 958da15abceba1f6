"""Request bodies to objects: JSON, YAML and protobuf, checked against the definitions, with upstream's
complaints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from apimachinery import errors, jsontext, manifests
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import Schema, as_met, duplicate_fields, merged_repeats
from controlplane.apiserver import unstructured
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.formats.media import JSON, PROTOBUF, YAML
from controlplane.apiserver.offloop import off_loop
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.request import Request

_ACCEPTED = ", ".join((JSON, YAML, PROTOBUF))
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
_NO_GROUP_VERSION = "unexpected GroupVersion string: "
_OPTIONS_SCHEME = 'in scheme "pkg/apis/meta/internalversion/scheme/register.go:27"'
_SHOWN_BYTES = 30
# Upstream's decoder remembers no more; and characters of them that a refusal shows.
_MOST_COMPLAINTS, _SHOWN_COMPLAINTS = 100, 65536
# Versions that upstream still knows how to read, though it serves them no more.
_RETIRED = frozenset(
    [
        "extensions/v1beta1",
        "apps/v1beta1",
        "apps/v1beta2",
        "batch/v1beta1",
        "policy/v1beta1",
        "autoscaling/v2beta1",
        "autoscaling/v2beta2",
        "networking.k8s.io/v1beta1",
        "rbac.authorization.k8s.io/v1beta1",
        "storage.k8s.io/v1beta1",
        "coordination.k8s.io/v1beta1",
        "discovery.k8s.io/v1beta1",
        "events.k8s.io/v1beta1",
        "apiregistration.k8s.io/v1beta1",
    ]
)


def media_type(request: Request) -> str:
    """The body's type without parameters; JSON when none is given; "" for what is no media type."""
    given = request.headers.get("Content-Type", "")
    if not given:
        return JSON
    media, _, parameters = given.partition(";")
    if parameters.strip() and "=" not in parameters:
        return ""
    return media.strip().lower()


async def read_object(request: Request, kind: Kind, context: Context, also: tuple[str, ...] = ()) -> Obj:
    """The body as a checked object of a kind; also: apiVersions of it that are as good.

    Raises UnsupportedMediaType, RequestTooLarge, BadRequest; unknown fields warn or raise as the context says.
    """
    media = media_type(request)
    custom = context.catalog.custom(kind) is not None
    if media not in (JSON, YAML, PROTOBUF) or (custom and media == PROTOBUF):
        accepted = ", ".join((JSON, YAML)) if media == PROTOBUF else _ACCEPTED
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    body = await request.body()
    context.size = len(body)

    def read() -> Obj:
        obj, odd = _parse(media, body, kind.kind, kind.api_version)
        if not custom:
            _check_type(obj, kind, body, context.catalog, also)
        elif not isinstance(obj.get("kind"), str) or not obj["kind"]:
            raise _unrecognized(kind.kind, unstructured.no_kind(body), body)
        else:
            unstructured.check_sent(obj, kind)
        check(obj, kind, context, odd, None if media == YAML else body)
        return obj

    return await off_loop(len(body), read)


def read_applied(body: bytes, kind: Kind, context: Context) -> Obj:
    """The configuration of a server-side apply: YAML (or JSON) of the kind. Raises BadRequest."""
    try:
        value, repeated = manifests.load_told(body)
    except manifests.ManifestError as error:
        raise errors.BadRequest(f"error decoding YAML: error converting YAML to JSON: {error}") from error
    obj = {} if value is None else value
    if not isinstance(obj, dict):
        why = f"json: cannot unmarshal {jsontext.type_of(value)} into Go value of type map[string]interface {{}}"
        raise errors.BadRequest(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}")
    given, given_kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    if given != kind.api_version or given_kind != kind.kind:
        group, _, version = given.rpartition("/")
        raise errors.BadRequest(f"invalid object type: {group}/{version}, Kind={given_kind}")
    if repeated and context.field_validation == "Strict":
        told = "\n".join(f"  {one}" for one in _shown(repeated))
        why = f"error converting YAML to JSON: yaml: unmarshal errors:\n{told}"
        raise errors.BadRequest(f"error strict decoding YAML: {why}")
    if context.field_validation == "Warn":
        context.warnings.extend(repeated)
    return obj


@dataclass(frozen=True)
class Patched:
    """What a patch made of a good object: what is wrong with it is the patch's fault (422, not 400).

    told: how a refusal shows the object or the patch; name: of the object, in the URL; merged: the object came out of a
    merge of untyped values, which upstream reads more leniently; odd: complaints about the patch's own text, asked for
    only when somebody listens.
    """

    told: Callable[[], str]
    name: str = ""
    merged: bool = False
    odd: Callable[[], tuple[str, ...]] = tuple

    def refusal(self, why: str) -> errors.ApiError:
        return errors.invalid_object("", "", [errors.invalid("patch", self.told(), why)])


def check(obj: Obj, kind: Kind, context: Context, odd: tuple[str, ...] = (), json: bytes | None = None) -> None:
    """Check an object against its definition, canonicalising it.

    odd are complaints already found in its text; json is that text, and None for YAML, whose own complaints come first.
    """
    error, unknown = _read(obj, kind, context)
    if error:
        raise errors.BadRequest(_cannot(kind.kind, kind.version, kind, error))
    complaints = (*odd, *unknown)
    if odd and unknown and json is not None and context.catalog.custom(kind) is None:
        complaints = as_met(json, complaints)
    complaints = complaints[:_MOST_COMPLAINTS]
    if not complaints or context.field_validation == "Ignore":
        return
    if context.field_validation == "Strict":
        if json is None and odd:
            told = "\n".join(f"  {one}" for one in _shown(odd))
            complaints = (f"yaml: unmarshal errors:\n{told}", *complaints[len(odd) :])
        raise errors.BadRequest(_cannot(kind.kind, kind.version, kind, _strict(complaints)))
    context.warnings.extend(complaints)


def check_patched(obj: Obj, kind: Kind, context: Context, patched: Patched) -> None:
    """Check what a patch made, canonicalising it. Raises Invalid."""
    if not isinstance(obj, dict):
        # A JSON patch may replace the whole document, by a list, too.
        raise patched.refusal(_not_an_object(obj))
    custom = context.catalog.custom(kind) is not None
    if not custom and not patched.merged and not obj.get("apiVersion"):
        # Upstream then reads it as its own internal type, all of whose fields have other names.
        names = sorted(name for name in obj if name not in ("apiVersion", "kind"))
        _complain(patched, [f'unknown field "{name}"' for name in names], context)
        why = "was undeterminable: name must be provided"
        raise errors.BadRequest(f"the name of the object ({patched.name} based on URL) {why}")
    if not custom and not patched.merged and (wrong := _other_type(obj, kind, context.catalog)):
        raise patched.refusal(wrong)
    error, unknown = _read(obj, kind, context, patched.merged)
    if error:
        raise patched.refusal(error)
    if custom:
        unstructured.check_type(obj, kind)
    # What a merge takes apart comes back with sorted keys.
    _complain(patched, unknown if custom else sorted(unknown), context)


def _complain(patched: Patched, unknown: Iterable[str], context: Context) -> None:
    if context.field_validation == "Ignore":
        return
    complaints = (*patched.odd(), *unknown)[:_MOST_COMPLAINTS]
    if complaints and context.field_validation == "Strict":
        raise patched.refusal(_strict(complaints))
    context.warnings.extend(complaints)


def check_applied(obj: Obj, wanted: Obj, kind: Kind, context: Context) -> None:
    """Check what an apply of `wanted` made, canonicalising it. Raises a nameless error, as upstream."""
    # A custom resource has been held to its schema's types; what more its schema says is judged later.
    error, _ = ("", ()) if context.catalog.custom(kind) is not None else _read(obj, kind, context, merged=True)
    if not error:
        return
    metadata, type_name = wanted.get("metadata") or {}, f"{kind.group}/{kind.version}, Kind={kind.kind}"
    named = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {type_name}"
    why = f"unable to convert unstructured object to {type_name}: {error}"
    raise errors.ApiError(f"failed to convert new object ({named}) to proper version: {why}")


def _read(obj: Obj, kind: Kind, context: Context, merged: bool = False) -> tuple[str, tuple[str, ...]]:
    """Canonicalise an object by its type or its schema: what is wrong with it, or complaints about unknown fields."""
    custom = context.catalog.custom(kind)
    if custom is not None:
        try:
            return "", unstructured.kept(obj, custom)
        except unstructured.Malformed as error:
            return str(error), ()
    walker = context.catalog.schema.walker(kind.api_version, kind.kind)
    if walker is None:
        return "", ()
    findings = walker.check(obj, merged)
    return findings.error, tuple(findings.unknown_texts)


def _strict(complaints: Sequence[str]) -> str:
    return "strict decoding error: " + ", ".join(_shown(complaints))


def _shown(complaints: Sequence[str]) -> list[str]:
    """Those that a refusal has room for, of which each can be as long as the body, and how many more there are."""
    shown: list[str] = []
    room = _SHOWN_COMPLAINTS
    for one in complaints:
        shown.append(errors.shortened(one))
        room -= len(shown[-1])
        if room < 0:
            break
    more = len(complaints) - len(shown)
    return [*shown, f"and {more} more"] if more else shown


async def read(request: Request, kind: str) -> Obj:
    """The body of a subresource request, decoded but not checked against a schema.

    Raises UnsupportedMediaType, BadRequest.
    """
    media = media_type(request)
    if media not in (JSON, YAML, PROTOBUF):
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}"
        )
    body = await request.body()
    obj, _ = await off_loop(len(body), _parse, media, body, kind)
    return obj


async def read_options(request: Request) -> Obj | None:
    """A DELETE's DeleteOptions; None without a body."""
    body = await request.body()
    if not body:
        return None
    media = media_type(request)
    if media not in (JSON, YAML, PROTOBUF):
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}"
        )
    obj, _ = await off_loop(len(body), _parse, media, body, "")
    given, version = obj.get("kind") or "DeleteOptions", obj.get("apiVersion") or "v1"
    if not isinstance(given, str) or not isinstance(version, str):
        raise _unrecognized("", _not_a_text(version, given), body)
    if version.count("/") > 1:
        raise errors.BadRequest(_NO_GROUP_VERSION + version)
    if given != "DeleteOptions":
        # Clients send them in whatever group and version they delete something of, but nothing else instead.
        shown = f"no kind {errors.quoted(given)} is registered for version {errors.quoted(version)}"
        raise errors.BadRequest(f"{shown} {_OPTIONS_SCHEME}")
    obj.pop("apiVersion", None)
    walker = Schema.load().walker("v1", "DeleteOptions")
    if walker is not None:
        findings = walker.check(obj)
        if findings.error:
            raise errors.BadRequest(findings.error)
    return {k: v for k, v in obj.items() if v is not None and v != []}


def _parse(media: str, body: bytes, expected: str, version: str = "") -> tuple[Obj, tuple[str, ...]]:
    """The body's object and complaints about repeated keys. A message need not say what it is, where that is known."""
    if media == PROTOBUF:
        from apimachinery import protobuf

        try:
            decoded: Obj = protobuf.decode(body, version, expected)
        except protobuf.UnknownKind as error:
            if not error.kind or not error.api_version:
                raise _unrecognized(expected, str(error), body) from None
            # Whoever reads it refuses it like any other type that is not expected.
            return {"apiVersion": error.api_version, "kind": error.kind}, ()
        except protobuf.ProtobufError as error:
            raise _unrecognized(expected, str(error), body) from None
        except RecursionError:
            raise _unrecognized(expected, "exceeded max depth", body) from None
        return decoded, ()
    if media == YAML:
        return _yaml(body, expected)
    value, repeats = _json(body, expected)
    if value is None:
        return {}, ()
    if not isinstance(value, dict):
        raise _unrecognized(expected, _not_an_object(value), body)
    repeated = duplicate_fields(body) if repeats else ()
    if repeated:
        value = merged_repeats(body)
    return value, tuple(f'duplicate field "{path}"' for path in repeated)


def _json(body: bytes, expected: str) -> tuple[Any, bool]:
    try:
        return jsontext.told(body)
    except jsontext.JsonError as error:
        raise _unrecognized(expected, f"couldn't get version/kind; json parse error: {error}", body) from None


def _yaml(body: bytes, expected: str) -> tuple[Obj, tuple[str, ...]]:
    try:
        value, repeated = manifests.load_told(body)
    except manifests.ManifestError as error:
        raise _unrecognized(expected, str(error), body) from error
    if value is None:
        return {}, ()
    if not isinstance(value, dict):
        raise _unrecognized(expected, _not_an_object(value), body)
    return value, repeated


def _not_an_object(value: Any) -> str:
    shown = jsontext.type_of(value)
    why = f"json: cannot unmarshal {shown} into Go value of type {_TYPE_META}"
    return f"couldn't get version/kind; json parse error: {why}"


def _not_a_text(version: Any, kind: Any) -> str:
    """What is wrong where one of the two is no text."""
    what, given = ("apiVersion", version) if not isinstance(version, str) else ("kind", kind)
    why = f"json: cannot unmarshal {jsontext.type_of(given)} into Go struct field .{what} of type string"
    return f"couldn't get version/kind; json parse error: {why}"


def _unrecognized(expected: str, why: str, body: bytes) -> errors.ApiError:
    """expected: "" for options, of which upstream tells no more than what is wrong. What begins as an object is shown
    as text, whatever it was sent as.
    """
    if not expected:
        return errors.BadRequest(why)
    if not body:
        shown = "<empty>"
    elif body.startswith(b"{"):
        text = body.decode(errors="replace")
        shown = text if len(text) <= _SHOWN_BYTES else text[:_SHOWN_BYTES] + " ..."
    elif len(body) > _SHOWN_BYTES:
        shown = body[:_SHOWN_BYTES].hex() + " ..."
    else:
        shown = body.hex()
    return errors.BadRequest(f"the object provided is unrecognized (must be of type {expected}): {why} ({shown})")


def _cannot(given: str, version: str, kind: Kind, why: str) -> str:
    return f'{given} in version "{version}" cannot be handled as a {kind.kind}: {why}'


def _check_type(obj: Obj, kind: Kind, body: bytes, catalog: Catalog, also: tuple[str, ...] = ()) -> None:
    given_kind, given = obj.get("kind") or kind.kind, obj.get("apiVersion") or kind.api_version
    obj["kind"], obj["apiVersion"] = kind.kind, kind.api_version
    if given_kind == kind.kind and given in (kind.api_version, *also):
        return
    if not isinstance(given, str) or not isinstance(given_kind, str):
        raise _unrecognized(kind.kind, _not_a_text(given, given_kind), body)
    if given.count("/") > 1:
        raise _unrecognized(kind.kind, _NO_GROUP_VERSION + given, body)
    version = given.rpartition("/")[2]
    if given_kind == kind.kind and (catalog.find(given, given_kind) is not None or given in _RETIRED):
        raise errors.BadRequest(
            f"the API version in the data ({given}) does not match the expected API version ({kind.api_version})"
        )
    raise errors.BadRequest(_cannot(given_kind, version, kind, _no_conversion(given, given_kind, kind, catalog)))


def _no_conversion(given: str, given_kind: str, kind: Kind, catalog: Catalog) -> str:
    """Why an object of another type is none of this kind."""
    other = catalog.find(given, given_kind)
    if other is None and not (given_kind.endswith("List") and catalog.find(given, given_kind[:-4])):
        return f"no kind {errors.quoted(given_kind)} is registered for version {errors.quoted(given)} {_SCHEME}"
    version = given.rpartition("/")[2]
    return f"converting ({version}.{given_kind}) to ({_internal(kind)}.{kind.kind}): unknown conversion"


def _other_type(obj: Obj, kind: Kind, catalog: Catalog) -> str:
    """What is wrong with the type that a patch gave to an object; "" when nothing."""
    given, given_kind = obj.get("apiVersion") or kind.api_version, obj.get("kind") or kind.kind
    if (given == kind.api_version and given_kind == kind.kind) or not isinstance(given, str):
        return ""
    if not isinstance(given_kind, str):
        return ""
    walker = catalog.schema.walker(given, given_kind)
    findings = walker.check(orjson.loads(orjson.dumps(obj))) if walker is not None else None
    return (findings.error if findings is not None else "") or _no_conversion(given, given_kind, kind, catalog)


def _internal(kind: Kind) -> str:
    """The package that upstream keeps a group's own types in."""
    return kind.group.partition(".")[0] or "core"
