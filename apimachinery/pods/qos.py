"""Quality of service class of a pod.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/; pod-level resources, where set, decide alone.
"""

from __future__ import annotations

from apimachinery import quantity
from apimachinery.objects import Obj

_QOS_RESOURCES = ("cpu", "memory")


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort, by the requests and limits of cpu and memory."""
    spec = pod["spec"]
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    pod_level = spec.get("resources") or {}
    if pod_level.get("requests") or pod_level.get("limits"):
        containers = [{"resources": pod_level}]
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for container in containers:
        resources = container.get("resources") or {}
        found = set()
        _add(requests, resources.get("requests"))
        for name in _add(limits, resources.get("limits")):
            found.add(name)
        guaranteed = guaranteed and found == set(_QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _add(total: dict[str, int], amounts: Obj | None) -> list[str]:
    named = []
    for name in _QOS_RESOURCES:
        amount = quantity.parse((amounts or {}).get(name, 0)).milli()
        if amount > 0:
            total[name] = total.get(name, 0) + amount
            named.append(name)
    return named
