"""Taking over what somebody else has made of an object that is written."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver import codec
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.subresources.scale import paths_of, scaled


async def take_over(registry: Registry, kind: Kind, admission: Admission, new: Obj, strict: bool = False) -> None:
    """Make the changed object the one that is written, complete as if a client had sent it. Raises InternalError, in
    a strict reading also for fields that its type does not have, and ApiError where a conversion webhook has no use.
    """
    obj = admission.obj
    assert obj is not None
    if is_own_body(admission):
        obj.clear()
        obj.update(new)
        return
    if admission.subresource == "scale":
        new["metadata"] = {"name": admission.name}
        version = obj["metadata"].get("resourceVersion")
        scaled(admission.kind, obj, new, paths_of(registry.catalog, admission.kind))
        if version:
            obj["metadata"]["resourceVersion"] = version
        return
    new["kind"], new["apiVersion"] = kind.kind, kind.api_version
    if registry.catalog.custom(kind) is not None:
        # It is held against the schema of the version that is written alone, which may know more than this one.
        new, kind, strict = await registry.catalog.shown(new, admission.kind), admission.kind, False
    try:
        codec.check(new, kind, Context(registry.catalog, field_validation="Strict" if strict else "Ignore"))
    except errors.ApiError as error:
        what = error.message.partition(f" cannot be handled as a {kind.kind}: ")[2] if strict else ""
        raise internal(what or error.message) from error
    whole = registry.catalog.convert(new, admission.kind)
    strategy = registry.strategy(admission.kind)
    strategy.default(whole)
    strategy.settle(whole)
    obj.clear()
    obj.update(whole)


def is_own_body(admission: Admission) -> bool:
    """Whether what is asked about is no object but what was sent to a subresource of one: a Binding, the options of a
    stream.
    """
    return bool(admission.subresource) and admission.operation in ("CREATE", "CONNECT")


def internal(text: str) -> errors.InternalError:
    """A fault of somebody who was asked, as upstream tells it."""
    return errors.InternalError(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})
