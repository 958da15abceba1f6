"""Quality of service class of a pod. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/ ; pod-level resources, where set,
decide alone.
"""

from __future__ import annotations

from agent import podspec
from agent.podspec import Obj
from apimachinery import quantity

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_COMPUTE = ("cpu", "memory")


def _amounts(listed: Obj | None) -> dict[str, int]:
    """Positive cpu and memory amounts in billionths."""
    found = {}
    for resource in _COMPUTE:
        text = (listed or {}).get(resource)
        if text is not None and (nanos := quantity.parse(text).nanos) > 0:
            found[resource] = nanos
    return found


def effective_requests(resources: Obj | None) -> Obj:
    """Requests with what is only limited requested too, as the API server defaults."""
    resources = resources or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def qos_class(pod: Obj) -> str:
    pod_level = podspec.spec(pod).get("resources")
    if pod_level:
        holders = [pod_level]
    else:
        holders = [c.get("resources") or {} for c in (*podspec.init_containers(pod), *podspec.containers(pod))]
    guaranteed, any_amount = True, False
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    for resources in holders:
        asked, limited = _amounts(effective_requests(resources)), _amounts(resources.get("limits"))
        any_amount = any_amount or bool(asked) or bool(limited)
        guaranteed = guaranteed and set(limited) == set(_COMPUTE)
        for resource, nanos in asked.items():
            requests[resource] = requests.get(resource, 0) + nanos
        for resource, nanos in limited.items():
            limits[resource] = limits.get(resource, 0) + nanos
    if not any_amount:
        return BEST_EFFORT
    return GUARANTEED if guaranteed and requests == limits else BURSTABLE
