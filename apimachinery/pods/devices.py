"""Which ResourceClaims a pod uses; for scheduler, controllers and agent. Source: KEP-4381, `v1.PodResourceClaim`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.objects import Obj, controller_of, key, namespace, uid

FINALIZER = "resource.kubernetes.io/delete-protection"
"""Keeps a claim that is allocated."""


@dataclass(frozen=True)
class Use:
    """An entry of a pod's spec.resourceClaims.

    `claim`: the name of its ResourceClaim, "" while none was made. `template`: what it is made of, "" where the pod
    names a claim that is somebody else's. `needed`: whether there has to be a claim at all.
    """

    entry: str
    claim: str
    template: str = ""
    needed: bool = True


def uses(pod: Mapping[str, Any]) -> Iterator[Use]:
    """The claims a pod uses, in the order of its spec."""
    made = {s["name"]: s.get("resourceClaimName") for s in (pod.get("status") or {}).get("resourceClaimStatuses") or ()}
    for entry in (pod.get("spec") or {}).get("resourceClaims") or ():
        called, template = entry["name"], entry.get("resourceClaimTemplateName") or ""
        if named := entry.get("resourceClaimName"):
            yield Use(called, named)
        elif template:
            yield Use(called, made.get(called) or "", template, needed=called not in made or bool(made[called]))


def extended(pod: Mapping[str, Any]) -> str:
    """The claim that the scheduler made for the pod's extended resources, "" for none."""
    return ((pod.get("status") or {}).get("extendedResourceClaimStatus") or {}).get("resourceClaimName") or ""


def not_made_for(claim: Obj, pod: Obj) -> str:
    """What is wrong with a claim that was not made for the pod, in upstream's words; "" where it was."""
    if (controller_of(claim) or {}).get("uid") == uid(pod) and namespace(claim) == namespace(pod):
        return ""
    return f"ResourceClaim {key(claim)} was not created for Pod {key(pod)} (Pod is not owner)"


def is_reserved_for(claim: Obj, pod_uid: str) -> bool:
    """Whether the pod of that uid may use what was allocated to the claim."""
    return any(who.get("uid") == pod_uid for who in (claim.get("status") or {}).get("reservedFor") or ())
