"""What claims of devices count: by device class, and as the resource that pods ask for the same devices by. Pure.

A device class is named in claims, and pods may ask for its devices as if they were a resource: every class's
`deviceclass.resource.kubernetes.io/CLASS`, or the name that the class gives (spec.extendedResourceName). A quota of
such a resource counts pods and claims together; for a pod that asked so the scheduler makes a claim, which counts only
what the pod does not. Source: KEP-5004, upstream's evaluator of resource claims.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from apimachinery.objects import Obj, controller_of, uid
from apimachinery.pods.devices import extended
from apimachinery.pods.totals import Amounts
from apimachinery.quantity import NANO, Quantity

PER_CLASS = ".deviceclass.resource.k8s.io/devices"
IMPLICIT = "deviceclass.resource.kubernetes.io/"
# On a claim that was made for a pod that asked for devices as a resource.
_MADE = "resource.kubernetes.io/extended-resource-claim"
# The most devices that one claim is ever given, which is what asking for all of a class counts.
_MOST = 32


@dataclass(frozen=True)
class Devices:
    """What must be known beside a claim. classes: by a device class's name, the resource that it gives itself ("" for
    none). pod_of: the pod that a claim was made for, None for a claim of its own."""

    classes: Mapping[str, str]
    pod_of: Callable[[Obj], Obj | None]


NOTHING_KNOWN = Devices({}, lambda claim: None)


def resource_of(device_class: Obj) -> str:
    """The resource that a class gives itself, "" for none."""
    return device_class["spec"].get("extendedResourceName") or ""


def are_of_a_class(resource: str, classes: Mapping[str, str]) -> bool:
    """Whether a resource that pods ask for stands for the devices of a class."""
    if resource.startswith(IMPLICIT):
        return resource.removeprefix(IMPLICIT) in classes
    return bool(resource) and resource in classes.values()


def of_claim(spec: Obj, classes: Mapping[str, str], taken: Mapping[str, Quantity]) -> Amounts:
    """What a claim counts. taken: what the pod that it was made for counts already."""
    wanted = _wanted(spec)
    counted = {f"{name}{PER_CLASS}": Quantity(count * NANO) for name, count in wanted.items()}
    resources: Counter[str] = Counter()
    for name, count in wanted.items():
        for resource in filter(None, (f"{IMPLICIT}{name}", classes.get(name))):
            resources[f"requests.{resource}"] += count
    for resource, count in resources.items():
        left = Quantity(count * NANO) - taken.get(resource, Quantity(0))
        if left.nanos > 0:
            counted[resource] = left
    return counted


def _wanted(spec: Obj) -> Counter[str]:
    """The devices of each class that a claim asks for: of the alternatives of a request the most of each class."""
    wanted: Counter[str] = Counter()
    for request in (spec.get("devices") or {}).get("requests") or ():
        most: Counter[str] = Counter()
        for one in request.get("firstAvailable") or [request.get("exactly") or {}]:
            most |= Counter({one.get("deviceClassName") or "": _count(one)})
        wanted += most
    return wanted


def _count(request: Obj) -> int:
    mode = request.get("allocationMode")
    if mode == "All":
        return _MOST
    return int(request.get("count") or 0) if mode == "ExactCount" else 0


def asker(claim: Obj) -> Obj | None:
    """The reference to the pod that a claim says it was made for, because that asked for devices as a resource."""
    owner = controller_of(claim)
    made = (claim["metadata"].get("annotations") or {}).get(_MADE) == "true"
    return owner if made and owner and (owner["apiVersion"], owner["kind"]) == ("v1", "Pod") else None


def is_made_for(claim: Obj, pod: Obj, others: Callable[[], Iterable[Obj]]) -> bool:
    """Whether that is true: of the claims that say so of one pod, only the one that the pod names, or the first while
    it names none. others: the claims of the namespace."""
    owner = asker(claim)
    if owner is None or owner["uid"] != uid(pod):
        return False
    if named := extended(pod):
        return bool(named == claim["metadata"]["name"])
    rivals = (other for other in others() if (asker(other) or {}).get("uid") == owner["uid"])
    return all(_age(claim) <= _age(rival) for rival in rivals)


def _age(claim: Obj) -> tuple[str, str]:
    return claim["metadata"].get("creationTimestamp") or "", claim["metadata"]["name"]
