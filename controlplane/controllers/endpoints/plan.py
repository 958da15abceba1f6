"""The Endpoints of one Service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apimachinery import objects
from apimachinery.objects import Obj, labels, name, namespace
from controlplane.controllers import names, pod_status
from controlplane.controllers.endpoints.subsets import FULL, repacked, truncated
from controlplane.controllers.endpointslice import endpoints


def plan(service: Obj, pods: Iterable[Obj], current: Obj | None, changed_at: str | None) -> Obj | None:
    """The Endpoints to write, with `current`'s resourceVersion where there is one; None to leave it as it is.

    `pods`: those that the selector picks. `changed_at`: when what made it change happened (RFC 3339), if known.
    """
    wanted = repacked(_subsets(service, pods))
    found = current or {}
    marks = dict(labels(service))
    marks.pop(names.HEADLESS, None)
    marks[names.ENDPOINTS_MANAGED_BY] = names.ENDPOINTS_MANAGER
    if (service.get("spec") or {}).get("clusterIP") in (None, "", "None"):
        marks[names.HEADLESS] = ""
    kept = truncated(wanted)
    told = {k: v for k, v in objects.annotations(found).items() if k not in (names.LAST_CHANGE, names.OVER_CAPACITY)}
    over = {names.OVER_CAPACITY: "truncated"} if _count(wanted) > FULL else {}
    has = {k: v for k, v in objects.annotations(found).items() if k == names.OVER_CAPACITY}
    same = repacked(found.get("subsets") or []) == repacked(kept) and dict(labels(found)) == marks and has == over
    if current is not None and same:
        return None
    told |= over | ({names.LAST_CHANGE: changed_at} if changed_at else {})
    metadata = {**(found.get("metadata") or {}), "name": name(service), "namespace": namespace(service)}
    metadata |= {"labels": marks, "annotations": told}
    return {"apiVersion": "v1", "kind": "Endpoints", **found, "metadata": metadata, "subsets": kept}


def _count(subsets: Sequence[Obj]) -> int:
    return sum(len(s.get("addresses") or ()) + len(s.get("notReadyAddresses") or ()) for s in subsets)


def _subsets(service: Obj, pods: Iterable[Obj]) -> list[Obj]:
    """One subset for each pod, as the Service sees it."""
    spec = service.get("spec") or {}
    family, anyway = endpoints.families(service)[0], bool(spec.get("publishNotReadyAddresses"))
    result = []
    for pod in pods:
        going = pod["metadata"].get("deletionTimestamp") and not anyway
        ip = endpoints.address_of(pod, family)
        if ip is None or going or not endpoints.is_candidate(pod):
            continue
        field = "addresses" if anyway or pod_status.is_ready(pod) else "notReadyAddresses"
        subset: Obj = {field: [_address(service, pod, ip)]}
        if spec.get("ports"):
            ports = endpoints.port_objects(endpoints.ports_of(service, pod))
            subset["ports"] = [{k: v for k, v in port.items() if v != ""} for port in ports]
        if subset.get("ports") or (not spec.get("ports") and spec.get("clusterIP") == "None"):
            result.append(subset)
    return result


def _address(service: Obj, pod: Obj, ip: str) -> Obj:
    entry = endpoints.endpoint(service, pod, ip, {})
    address: Obj = {"ip": ip}
    return address | {k: entry[k] for k in ("hostname", "nodeName", "targetRef") if k in entry}
