"""When a pod must go for the taints of its devices. Pure. Source: KEP-5055."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time

# (driver, pool), and by the name of the device there the taints that end pods.
Pool = tuple[str, str]
Taints = dict[str, list[Obj]]


def pool_of(resource_slice: Obj) -> Pool:
    """Where the devices of a slice are."""
    spec = resource_slice["spec"]
    return spec["driver"], spec["pool"]["name"]


def evicting(slices: Iterable[Obj]) -> Taints:
    """The NoExecute taints of one pool's devices, by what the newest generation of its slices says."""
    specs = [each["spec"] for each in slices]
    newest = max((spec["pool"].get("generation") or 0 for spec in specs), default=0)
    found = {}
    for spec in specs:
        if (spec["pool"].get("generation") or 0) != newest:
            continue
        for device in spec.get("devices") or ():
            if taints := [t for t in device.get("taints") or () if t.get("effect") == "NoExecute"]:
                found[str(device["name"])] = taints
    return found


def evict_at(claims: Iterable[Obj], taints: Mapping[Pool, Taints], moment: datetime) -> datetime | None:
    """When a pod with these claims must go, None for never; a taint of which nobody says when it was added counts from
    `moment` on.
    """
    found = []
    for claim in claims:
        devices = ((claim.get("status") or {}).get("allocation") or {}).get("devices") or {}
        for result in devices.get("results") or ():
            for taint in taints.get((result["driver"], result["pool"]), {}).get(result["device"], ()):
                seconds = _tolerated(result.get("tolerations") or (), taint)
                if seconds is not None:
                    added = parse_time(taint["timeAdded"]) if taint.get("timeAdded") else moment
                    found.append(added + timedelta(seconds=seconds))
    return min(found, default=None)


def _tolerated(tolerations: Sequence[Obj], taint: Obj) -> int | None:
    """For how many seconds a taint is tolerated; None: for ever."""
    # Only those that name the effect count here, unlike for the taints of nodes.
    fitting = [t for t in tolerations if t.get("effect") == "NoExecute" and _covers(t, taint)]
    if any(toleration.get("tolerationSeconds") is None for toleration in fitting):
        return None
    return min((max(int(toleration["tolerationSeconds"]), 0) for toleration in fitting), default=0)


def _covers(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("key") not in (None, "", taint.get("key")):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return (toleration.get("value") or "") == (taint.get("value") or "")
