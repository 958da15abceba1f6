"""Request bodies to objects: JSON, YAML and protobuf, with upstream's complaints."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import errors
from apimachinery.kinds import Kind
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.request import Obj, Request

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_ACCEPTED = ", ".join((JSON, YAML, PROTOBUF))


def media_type(request: Request) -> str:
    """The body's type without parameters; JSON when none is given."""
    given = request.headers.get("Content-Type", "")
    return given.split(";", 1)[0].strip().lower() or JSON


async def read_object(request: Request, kind: Kind, context: Context) -> Obj:
    """The body as an object of a kind. Raises UnsupportedMediaType, RequestTooLarge, BadRequest."""
    obj = await read(request, kind.kind)
    _check_type(obj, kind)
    return obj


async def read_options(request: Request) -> Obj | None:
    """A DELETE's DeleteOptions; None without a body."""
    if not (request.raw is not None and request.raw.body_exists):
        return None
    obj = await read(request, "DeleteOptions")
    return {k: v for k, v in obj.items() if v is not None} if obj else None


async def read(request: Request, expected: str) -> Obj:
    """The body as an object of any kind; expected names it in complaints."""
    media = media_type(request)
    if media not in (JSON, YAML, PROTOBUF):
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}"
        )
    body = await request.body()
    value = _parse(media, body, expected)
    if not isinstance(value, dict):
        raise unrecognized(expected, "couldn't get version/kind; json parse error: not an object")
    return value


def _parse(media: str, body: bytes, expected: str) -> Any:
    if media == PROTOBUF:
        from apimachinery import protobuf

        return protobuf.decode(body)
    if media == YAML:
        import yaml

        try:
            return yaml.load(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise unrecognized(expected, f"yaml: {error}") from error
    if not body:
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise unrecognized(expected, f"couldn't get version/kind; json parse error: {error}") from error


def unrecognized(expected: str, why: str) -> errors.ApiError:
    return errors.BadRequest(f"the object provided is unrecognized (must be of type {expected}): {why}")


def _check_type(obj: Obj, kind: Kind) -> None:
    given_kind = obj.get("kind") or kind.kind
    given_version = obj.get("apiVersion") or kind.api_version
    if given_kind != kind.kind or given_version != kind.api_version:
        group, _, version = given_version.rpartition("/")
        raise errors.BadRequest(
            f'{given_kind} in version "{version}" cannot be handled as a {kind.kind}: '
            f"converting ({group}/{version}.{given_kind}) to ({kind.group}/{kind.version}.{kind.kind}): "
            "unknown conversion"
        )
    obj["kind"], obj["apiVersion"] = kind.kind, kind.api_version
