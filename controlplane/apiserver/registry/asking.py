"""What the registry asks admission with a write, and what of it is given back when the write fails."""

from __future__ import annotations

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.registry.context import Context


def admission(
    operation: Operation,
    kind: Kind,
    subresource: str,
    namespace: str,
    obj: Obj | None,
    old: Obj | None,
    context: Context,
) -> Admission:
    """The question about a write of obj over old."""
    found: Obj = (obj if obj is not None else old or {}).get("metadata") or {}
    return Admission(
        user=context.user,
        operation=operation,
        kind=kind,
        subresource=subresource,
        namespace=namespace,
        name=found.get("name") or found.get("generateName") or "Unknown",
        obj=obj,
        old=old,
        options=context.options,
        dry_run=context.dry_run,
        warnings=context.warnings,
        version=context.version,
        given_name=found.get("name") or "",
        admitted=context.admitted,
    )


def release(admission: Admission) -> None:
    """Give back what plugins reserved; what the write kept stays."""
    for reservation in admission.reservations:
        reservation.release()
