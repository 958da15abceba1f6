"""Bodies of custom resources: what is asked of their type, and what of them is kept, in upstream's words."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.custom import Custom
from controlplane.apiserver.structural.custom import Malformed

__all__ = ["Malformed", "check_sent", "check_type", "kept", "no_kind"]


def no_kind(body: bytes) -> str:
    """What is said of a body without a kind."""
    return f"Object 'Kind' is missing in '{errors.shortened(body.decode(errors='replace'))}'"


def check_sent(obj: Obj, kind: Kind) -> None:
    """The type of what a client sent. Raises BadRequest, Invalid."""
    if obj.get("apiVersion") != kind.api_version:
        given = obj.get("apiVersion") or ""
        raise errors.BadRequest(
            f"the API version in the data ({given}) does not match the expected API version ({kind.api_version})"
        )
    check_type(obj, kind)


def check_type(obj: Obj, kind: Kind) -> None:
    """The type that an object has come to have must be the one it is written as. Raises Invalid."""
    wanted = (("kind", kind.kind), ("apiVersion", kind.api_version))
    found = [
        errors.invalid(field, obj.get(field) or "", f"must be {value}")
        for field, value in wanted
        if obj.get(field) != value
    ]
    if found:
        # Nobody has looked at it yet: it may be anything.
        metadata = obj.get("metadata")
        name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
        group = str(obj.get("apiVersion") or "").rpartition("/")[0]
        raise errors.invalid_object(obj.get("kind") or "", name, found, group)


def kept(obj: Obj, custom: Custom) -> tuple[str, ...]:
    """Leave of an object what its schema describes, in place; complaints about the rest. Raises Malformed."""
    return tuple(f'unknown field "{path}"' for path in custom.read(obj))
