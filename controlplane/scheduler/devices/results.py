"""Picks as they are written into a claim's status. Pure. Source: `resource/v1.AllocationResult`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from apimachinery.objects import Obj
from controlplane.scheduler.devices.search import Pick
from controlplane.scheduler.devices.wishes import Wish


def allocation(wish: Wish, picks: Sequence[Pick], classes: Mapping[str, Obj], node: str, shares: Iterable[str]) -> Obj:
    """The `status.allocation` of a claim on a node; `shares`: an id for each device that is shared."""
    ids = iter(shares)
    devices: Obj = {"results": [_result(pick, next(ids) if pick.device.shared else "") for pick in picks]}
    if config := _config(wish, picks, classes):
        devices["config"] = config
    found: Obj = {"devices": devices}
    if selector := _selector(picks, node):
        found["nodeSelector"] = selector
    return found


def _result(pick: Pick, share: str) -> Obj:
    driver, pool, device = pick.device.id
    found: Obj = {"request": pick.request.full_name, "driver": driver, "pool": pool, "device": device}
    if pick.request.admin:
        found["adminAccess"] = True
    if pick.request.tolerations:
        found["tolerations"] = list(pick.request.tolerations)
    for field in ("bindingConditions", "bindingFailureConditions"):
        if pick.device.obj.get(field):
            found[field] = pick.device.obj[field]
    if share:
        found["shareID"] = share
    if pick.amounts:
        found["consumedCapacity"] = {called: str(amount) for called, amount in pick.amounts.items()}
    return found


def _config(wish: Wish, picks: Sequence[Pick], classes: Mapping[str, Obj]) -> list[Obj]:
    """What the classes of the requests say to their drivers, then what the claim says."""
    chosen = _chosen(wish, picks)
    by_class: dict[str, list[str]] = {}
    for request in chosen.values():
        by_class.setdefault(request[1], []).append(request[0])
    found: list[Obj] = []
    for which, requests in by_class.items():
        for each in (classes[which].get("spec") or {}).get("config") or ():
            found.append({"source": "FromClass", "requests": requests, **each})
    for each in ((wish.claim.get("spec") or {}).get("devices") or {}).get("config") or ():
        names = each.get("requests") or ()
        # One entry for each request that it means: what was not chosen of alternatives needs no configuration.
        times = sum(base in names or full in names for base, (full, _) in chosen.items()) if names else 1
        found += [{"source": "FromClaim", **each}] * times
    return found


def _chosen(wish: Wish, picks: Sequence[Pick]) -> dict[str, tuple[str, str]]:
    """By request, what was chosen for it: its full name and class."""
    picked = {pick.request.parent or pick.request.name: pick.request for pick in picks}
    found = {}
    for alternatives in wish.requests:
        base = alternatives[0].parent or alternatives[0].name if alternatives else ""
        request = picked.get(base)
        if request is not None:
            found[base] = (request.full_name, request.device_class)
    return found


def _selector(picks: Sequence[Pick], node: str) -> Obj | None:
    """From which nodes the devices are reached, all of them; None: from everywhere."""
    fields: list[Obj] = []
    expressions: list[Obj] = []
    for pick in picks:
        if pick.device.reach.node or pick.device.obj.get("bindsToNode"):
            only = {"key": "metadata.name", "operator": "In", "values": [node]}
            return {"nodeSelectorTerms": [{"matchFields": [only]}]}
        for term in (pick.device.reach.selector or {}).get("nodeSelectorTerms") or ():
            _add(term.get("matchFields") or (), fields)
            _add(term.get("matchExpressions") or (), expressions)
    term = {
        **({"matchFields": fields} if fields else {}),
        **({"matchExpressions": expressions} if expressions else {}),
    }
    return {"nodeSelectorTerms": [term]} if term else None


def _add(requirements: Iterable[Obj], to: list[Obj]) -> None:
    for each in requirements:
        same = [
            other
            for other in to
            if (other["key"], other["operator"]) == (each["key"], each["operator"])
            and set(other.get("values") or ()) == set(each.get("values") or ())
        ]
        if not same:
            to.append(each)


def score(wish: Wish, allocated: Obj) -> int:
    """How good an allocation is: the earlier its alternatives stand, the better."""
    used = {result["request"] for result in (allocated.get("devices") or {}).get("results") or ()}
    return sum(
        BEST - place
        for alternatives in wish.requests
        for place, request in enumerate(alternatives)
        if request.parent and request.full_name in used
    )


# API: a request has no more alternatives than these.
BEST = 8
