"""Reading the body of a subresource request, and the answers they share."""

from __future__ import annotations

from apimachinery.errors import BadRequest
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver import codec, defaults, options
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.request import Answer, Request


def body_kind(group: str, version: str, kind: str) -> Kind:
    """The kind of a body that is no resource of its own."""
    return Kind(group, version, kind, kind.lower() + "s", kind.lower(), namespaced=True)


EVICTION = body_kind("policy", "v1", "Eviction")
SCALE = body_kind("autoscaling", "v1", "Scale")
TOKEN_REQUEST = body_kind("authentication.k8s.io", "v1", "TokenRequest")


async def read(request: Request, kind: Kind, context: Context, also: tuple[str, ...] = ()) -> Obj:
    """The body as a checked object of `kind`, its metadata present; `context` takes the warnings.

    also: apiVersions of the same kind that are as good.

    Raises BadRequest when it is something else, or names another namespace than the URL.
    """
    obj = await codec.read_object(request, kind, context, also)
    defaults.bare(obj)
    metadata = obj.get("metadata") or {}
    if not request.namespace:
        # What has no namespace may come with one: it is none to upstream either.
        metadata.pop("namespace", None)
    if metadata.get("namespace") not in (None, "", request.namespace):
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise BadRequest(text)
    return {**obj, "metadata": metadata}


def is_dry_run(request: Request) -> bool:
    """Whether this is for show. Raises Invalid for options of the URL that no writer may give."""
    return options.write_context(request, "CreateOptions").dry_run


def success(code: int = 201) -> Answer:
    """The bare Status that says it was done."""
    return Answer(code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
