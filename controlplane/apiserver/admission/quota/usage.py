"""What an object counts against a quota, by its kind. Pure; `now` is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from apimachinery.kinds import PERSISTENT_VOLUME_CLAIM, POD, RESOURCE_CLAIM, SERVICE, Kind
from apimachinery.objects import Obj
from apimachinery.pods.requests import containers_in_effect, is_extended
from apimachinery.pods.totals import Amounts, is_huge_page, parsed, total
from apimachinery.quantity import NANO, Quantity, parse
from apimachinery.timestamps import parse_time
from apimachinery.volumes.claims import class_of
from controlplane.apiserver.admission.quota.devices import IMPLICIT, NOTHING_KNOWN, PER_CLASS, Devices, are_of_a_class
from controlplane.apiserver.admission.quota.devices import of_claim as of_devices

ONE, NONE = Quantity(NANO), Quantity(0)
STORAGE_CLASS = ".storageclass.storage.k8s.io/"
# Names of old for the number of objects of a kind, beside count/RESOURCE.
ALIASES = {
    "configmaps": "configmaps",
    "resourcequotas": "resourcequotas",
    "replicationcontrollers": "replicationcontrollers",
    "secrets": "secrets",
}
_COUNTED = ("cpu", "memory", "ephemeral-storage")
_OF_PODS = frozenset(("pods", *_COUNTED, *(f"{side}.{name}" for side in ("requests", "limits") for name in _COUNTED)))
_OF_SERVICES = frozenset(("services", "services.nodeports", "services.loadbalancers"))
_OF_CLAIMS = ("persistentvolumeclaims", "requests.storage")
# What every container must say once a quota limits it.
MUST_SAY = frozenset(f"{side}{name}" for side in ("", "requests.", "limits.") for name in ("cpu", "memory"))


def count_name(kind: Kind) -> str:
    """count/pods, count/deployments.apps"""
    return f"count/{kind.resource}"


def names(kind: Kind, limited: Iterable[str], devices: Devices = NOTHING_KNOWN) -> set[str]:
    """Which of the resources that a quota limits objects of a kind count against."""
    return {name for name in limited if _counts(kind, name, devices)}


def _counts(kind: Kind, name: str, devices: Devices) -> bool:
    if name in (count_name(kind), ALIASES.get(kind.resource)):
        return True
    if kind is POD:
        return name in _OF_PODS or is_huge_page(name.removeprefix("requests.")) or bool(_device(name))
    if kind is SERVICE:
        return name in _OF_SERVICES
    if kind is PERSISTENT_VOLUME_CLAIM:
        return name in _OF_CLAIMS or name.partition(STORAGE_CLASS)[2] in _OF_CLAIMS
    return kind is RESOURCE_CLAIM and (name.endswith(PER_CLASS) or are_of_a_class(_device(name), devices.classes))


def asks_devices(limited: Iterable[str]) -> bool:
    """Whether what a quota limits may stand for devices of a class."""
    return any(map(_device, limited))


def _device(name: str) -> str:
    """The resource that pods ask for of which a quota's name tells, if it is one of somebody else's; "" otherwise."""
    plain = name.removeprefix("requests.")
    return plain if plain != name and _is_device(plain) else ""


def _is_device(name: str) -> bool:
    return is_extended(name) or name.startswith(IMPLICIT)


def of(kind: Kind, obj: Obj, now: datetime, devices: Devices = NOTHING_KNOWN) -> Amounts:
    """What one object counts, by resource."""
    counted: Amounts = {count_name(kind): ONE}
    if kind is POD:
        counted |= _of_pod(obj, now)
    elif kind is SERVICE:
        counted |= _of_service(obj["spec"])
    elif kind is PERSISTENT_VOLUME_CLAIM:
        counted |= _of_claim(obj)
    elif kind is RESOURCE_CLAIM:
        pod = devices.pod_of(obj)
        counted |= of_devices(obj["spec"], devices.classes, _of_pod(pod, now) if pod is not None else {})
    elif alias := ALIASES.get(kind.resource):
        counted[alias] = ONE
    return counted


def _of_pod(pod: Obj, now: datetime) -> Amounts:
    """A pod that has ended, or should have, takes up no more than its object; one that is resized the most of what it
    has and what it wants."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded") or _overdue(pod["metadata"], now):
        return {}
    spec = containers_in_effect(pod["spec"], status, ("requests", "limits"))
    return {"pods": ONE, **_amounts(total(spec, "requests", overhead=True), total(spec, "limits", overhead=True))}


def _overdue(metadata: Obj, now: datetime) -> bool:
    if not metadata.get("deletionTimestamp"):
        return False
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return now > parse_time(metadata["deletionTimestamp"]) + grace


def _amounts(requests: Amounts, limits: Amounts) -> Amounts:
    counted: Amounts = {}
    for name, amount in requests.items():
        if name in _COUNTED or is_huge_page(name):
            counted[name] = counted[f"requests.{name}"] = amount
        elif _is_device(name):
            counted[f"requests.{name}"] = amount
    counted |= {f"limits.{name}": amount for name, amount in limits.items() if name in _COUNTED}
    return counted


def said(container: Obj) -> set[str]:
    """The resources that a container says something of, under a quota's names."""
    resources = container.get("resources") or {}
    return set(_amounts(parsed(resources.get("requests")), parsed(resources.get("limits"))))


def _of_service(spec: Obj) -> Amounts:
    sort, ports = spec.get("type"), spec.get("ports") or ()
    nodes = len(ports) if sort in ("NodePort", "LoadBalancer") else 0
    if sort == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        nodes = sum(1 for port in ports if port.get("nodePort"))
    balancers = ONE if sort == "LoadBalancer" else NONE
    return {"services": ONE, "services.nodeports": Quantity(nodes * NANO), "services.loadbalancers": balancers}


def _of_claim(claim: Obj) -> Amounts:
    counted = {"persistentvolumeclaims": ONE}
    requested = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    if requested is not None:
        standing = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage") or 0
        most = max(parse(requested), parse(standing))
        # Of whole bytes.
        counted["requests.storage"] = Quantity(most.value() * NANO, most.format)
    if name := class_of(claim):
        counted |= {f"{name}{STORAGE_CLASS}{key}": amount for key, amount in counted.items()}
    return counted
