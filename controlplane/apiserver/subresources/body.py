"""Reading the body of a subresource request, and the answers they share."""

from __future__ import annotations

from apimachinery.errors import BadRequest, MethodNotAllowed
from apimachinery.objects import Obj
from controlplane.apiserver import codec
from controlplane.apiserver.request import Answer, Request


async def read(request: Request, kind: str, versions: tuple[str, ...]) -> Obj:
    """The body as a `kind` of one of the given apiVersions (the first is meant when it says none).

    Raises BadRequest when it is something else, or names another namespace than the URL.
    """
    obj = await codec.read(request, kind)
    given_kind, given_version = obj.get("kind") or kind, obj.get("apiVersion") or versions[0]
    if given_kind != kind or given_version not in versions:
        short = given_version.rpartition("/")[2]
        target = versions[0].rpartition("/")[0].removesuffix(".k8s.io") or "core"
        raise BadRequest(
            f'{given_kind} in version "{short}" cannot be handled as a {kind}: '
            f"converting ({short}.{given_kind}) to ({target}.{kind}): unknown conversion"
        )
    metadata = obj.get("metadata") or {}
    if metadata.get("namespace") not in (None, "", request.namespace):
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise BadRequest(text)
    return {**obj, "kind": kind, "apiVersion": given_version, "metadata": metadata}


def is_dry_run(request: Request) -> bool:
    return "All" in request.query.get("dryRun", ())


def success(code: int = 201) -> Answer:
    """The bare Status that says it was done."""
    return Answer(code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})


def method_not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource", details={})
