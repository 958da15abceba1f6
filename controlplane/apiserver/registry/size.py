"""How large a stored object may get, whatever small request made it."""

from __future__ import annotations

from apimachinery import errors, protobuf
from apimachinery.objects import Obj
from controlplane.apiserver.cache.entry import encode

LIMIT = 1536 * 1024
"""etcd's default for one request, which is upstream's bound for an object."""


def bounded(obj: Obj, keep_managers: bool, versioned: bool = False) -> bytes:
    """An object's stored form. Too large, it loses its managedFields first, unless keep_managers; then it is refused.
    versioned: it says its version.

    Upstream stores protobuf: what is larger as JSON is measured so before it is refused. Raises a nameless error, with
    upstream's words.
    """
    body = encode(obj, versioned)
    if len(body) <= LIMIT:
        return body
    if not keep_managers and obj["metadata"].pop("managedFields", None) is not None:
        body = encode(obj, versioned)
    if len(body) > 2 * LIMIT or (len(body) > LIMIT and _as_upstream(obj) > LIMIT):
        raise errors.ApiError("etcdserver: request is too large")
    return body


def _as_upstream(obj: Obj) -> int:
    try:
        return len(protobuf.encode(obj))
    except protobuf.ProtobufError:
        return len(encode(obj))
