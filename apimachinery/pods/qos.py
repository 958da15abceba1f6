"""Quality of service class of a pod.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/ ; pod-level resources, where there are any, be they
empty, decide alone (KEP-2837). Only cpu and memory count, and only amounts above zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.objects import Obj
from apimachinery.pods.totals import stated
from apimachinery.quantity import parse

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_COMPUTE = ("cpu", "memory")


def qos_class(spec: Obj) -> str:
    """The class of a PodSpec."""
    level = spec.get("resources")
    if level is not None:
        holders = [level]
    else:
        listed = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
        holders = [container.get("resources") or {} for container in listed]
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for resources in holders:
        _add(requests, stated(resources, "requests"))
        guaranteed = _add(limits, stated(resources, "limits")) == len(_COMPUTE) and guaranteed
    if not requests and not limits:
        return BEST_EFFORT
    return GUARANTEED if guaranteed and requests == limits else BURSTABLE


def _add(total: dict[str, int], amounts: Mapping[str, Any]) -> int:
    """Add the amounts that count, in billionths; how many there were."""
    found = {name: parse(amounts.get(name, 0)).nanos for name in _COMPUTE}
    counted = {name: nanos for name, nanos in found.items() if nanos > 0}
    for name, nanos in counted.items():
        total[name] = total.get(name, 0) + nanos
    return len(counted)
