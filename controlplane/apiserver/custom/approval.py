"""The condition KubernetesAPIApprovalPolicyConformant of definitions in the community's groups. Pure."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.objects import Obj
from controlplane.apiserver.rules.apiextensions.approval import NEEDED, NEITHER, SEE, approved, is_protected, said


def condition(definition: Obj) -> Obj | None:
    """None for a definition in a group of somebody's own."""
    if not is_protected(definition["spec"]["group"]):
        return None
    status, reason, message = {
        "missing": ("False", "MissingAnnotation", f"{NEEDED}, {SEE}"),
        "bypassed": ("False", "UnapprovedAnnotation", f"not approved: {errors.quoted(said(definition))}"),
        "approved": ("True", "ApprovedAnnotation", f"approved in {said(definition)}"),
        "invalid": ("False", "InvalidAnnotation", NEITHER),
    }[approved(definition)]
    kind = "KubernetesAPIApprovalPolicyConformant"
    return {"type": kind, "status": status, "reason": reason, "message": message}
