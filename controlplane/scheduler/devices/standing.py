"""What is still to be done for a pod's ResourceClaims, or why nothing can be done. Pure but for what it is asked of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apimachinery.objects import Obj, controller_of, is_deleting, key, uid
from apimachinery.pods.placement import NodeTerm, node_terms
from controlplane.scheduler.devices import wishes
from controlplane.scheduler.devices.holdings import Devices
from controlplane.scheduler.devices.wishes import Wish
from controlplane.scheduler.extract import Pod


@dataclass(frozen=True)
class Wanted:
    """The claims of a pod: those that have devices, with the nodes from which these are reached (None: any), and those
    that get them where the pod goes.
    """

    allocated: tuple[tuple[Obj, tuple[NodeTerm, ...] | None], ...]
    waiting: tuple[Wish, ...]
    classes: Mapping[str, Obj]


def allocation_of(claim: Obj) -> Obj:
    """What a claim has, empty for nothing."""
    found: Obj = (claim.get("status") or {}).get("allocation") or {}
    return found


def unusable(pod: Pod, devices: Devices) -> str:
    """Why a pod's claims cannot be had yet, in upstream's words; "" where they can."""
    for use in pod.devices:
        if not use.claim and use.needed:
            return f'pod "{pod.key}": ResourceClaim not created yet'
        if not use.claim:
            continue
        claim = devices.claim(f"{pod.namespace}/{use.claim}")
        if claim is None:
            return f'could not find ResourceClaim "{pod.namespace}/{use.claim}"'
        if is_deleting(claim):
            return f'resourceclaim "{use.claim}" is being deleted'
        if use.template and (controller_of(claim) or {}).get("uid") != pod.uid:
            return f"ResourceClaim {key(claim)} was not created for Pod {pod.key} (Pod is not owner)"
    return ""


def sort_out(pod: Pod, devices: Devices) -> Wanted | str:
    """The pod's claims by what is still to be done for them, or, in upstream's words, why it cannot be done."""
    if wrong := unusable(pod, devices):
        return wrong
    allocated: list[tuple[Obj, tuple[NodeTerm, ...] | None]] = []
    waiting: list[Wish] = []
    classes = devices.classes()
    for item in dict.fromkeys(f"{pod.namespace}/{use.claim}" for use in pod.devices if use.claim):
        claim = devices.claim(item)
        assert claim is not None
        if allocation := allocation_of(claim):
            selector = allocation.get("nodeSelector")
            allocated.append((claim, None if selector is None else node_terms(selector)))
        elif devices.is_promised(uid(claim)):
            return f"resource claim {item} is in the process of being allocated"
        else:
            wish = wishes.view(claim)
            if wrong := _unanswerable(wish, classes):
                return wrong
            waiting.append(wish)
    return Wanted(tuple(allocated), tuple(waiting), classes)


def _unanswerable(wish: Wish, classes: Mapping[str, Obj]) -> str:
    names = [each["name"] for each in ((wish.claim.get("spec") or {}).get("devices") or {}).get("requests") or ()]
    for called, alternatives in zip(names, wish.requests, strict=True):
        if not alternatives:
            return f"resource claim {wish.key}, request {called}: unknown request type"
        for request in alternatives:
            if request.device_class not in classes:
                return f"request {request.full_name}: device class {request.device_class} does not exist"
    return ""
