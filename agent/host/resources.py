"""Requests and limits as the kernel's figures. Pure.

Source: pkg/kubelet/cm and pkg/kubelet/qos behaviour: 1024 shares a core (at least 2), a quota per 100 ms
period (at least 1 ms), OOM score adjusted by quality of service.
"""

from __future__ import annotations

from agent import podspec
from agent.cri.model import Limits
from apimachinery import quantity
from apimachinery.numerals import INT64
from apimachinery.objects import Obj
from apimachinery.pods.qos import BEST_EFFORT, GUARANTEED, qos_class
from apimachinery.pods.requests import pod_requests
from apimachinery.pods.totals import parsed, stated, total

PERIOD_US = 100_000
_MIN_SHARES, _MAX_SHARES = 2, 262_144
_MIN_QUOTA_US = 1000
# What the runtime can be told; amounts may be beyond it.
_MOST = INT64 - 1

_OOM_CRITICAL, _OOM_GUARANTEED, _OOM_BEST_EFFORT = -997, -997, 1000
_OOM_BURSTABLE_LOW, _OOM_BURSTABLE_HIGH = 3, 999


def shares(milli_cpu: int) -> int:
    if milli_cpu == 0:
        return _MIN_SHARES
    return max(_MIN_SHARES, min(_MAX_SHARES, milli_cpu * 1024 // 1000))


def quota(milli_cpu: int) -> int:
    if milli_cpu == 0:
        return 0
    return max(_MIN_QUOTA_US, min(_MOST, milli_cpu * PERIOD_US // 1000))


def milli_cpu(listed: Obj | None) -> int:
    return quantity.parse((listed or {}).get("cpu", "0")).milli()


def memory(listed: Obj | None) -> int:
    return min(_MOST, quantity.parse((listed or {}).get("memory", "0")).value())


def container_limits(pod: Obj, container: Obj) -> Limits:
    """A container without limits of its own is held by its pod's, where the pod has some."""
    resources = container.get("resources") or {}
    own_limits = resources.get("limits") or {}
    pod_limits = (podspec.spec(pod).get("resources") or {}).get("limits") or {}
    cpu_limit = milli_cpu(own_limits) or milli_cpu(pod_limits)
    memory_limit = memory(own_limits) or memory(pod_limits)
    requested = milli_cpu(resources.get("requests"))
    explicit = "cpu" in (resources.get("requests") or {})
    return Limits(
        cpu_shares=shares(requested if explicit or requested else cpu_limit),
        cpu_quota=quota(cpu_limit),
        memory=memory_limit,
    )


def pod_milli_cpu(pod: Obj) -> int:
    """Millicores the whole pod asks for, its overhead included."""
    return pod_requests(podspec.spec(pod)).get("cpu", 0)


def pod_limits(pod: Obj) -> Limits:
    """The pod's own cgroup: a limit stands only where every container (or the pod itself) has one."""
    spec = podspec.spec(pod)
    limits = total(spec, "limits", overhead=True)
    cpu = limits["cpu"].milli() if _limited(spec, "cpu") else 0
    return Limits(
        cpu_shares=shares(pod_milli_cpu(pod)),
        cpu_quota=quota(cpu),
        memory=min(_MOST, limits["memory"].value()) if _limited(spec, "memory") else 0,
    )


def _limited(spec: Obj, resource: str) -> bool:
    """Whether the pod as a whole has a limit of a resource: its own, or one on each container."""
    if resource in ((spec.get("resources") or {}).get("limits") or {}):
        return True
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return bool(containers) and all(parsed(_limits(container)).get(resource) for container in containers)


def _limits(container: Obj) -> Obj:
    return (container.get("resources") or {}).get("limits") or {}


def oom_score_adj(pod: Obj, container: Obj, memory_capacity: int) -> int:
    """`memory_capacity` of the node in bytes. Source: the kubelet's QoS policy table in its node-pressure page."""
    if (podspec.spec(pod).get("priority") or 0) >= podspec.SYSTEM_CRITICAL_PRIORITY:
        return _OOM_CRITICAL
    quality = qos_class(podspec.spec(pod))
    if quality == GUARANTEED:
        return _OOM_GUARANTEED
    if quality == BEST_EFFORT:
        return _OOM_BEST_EFFORT
    own = _burstable_score(_oom_request(pod, container), memory_capacity)
    if podspec.is_init(pod, container["name"]) and podspec.is_sidecar(container):
        # A sidecar must not die before the containers it serves.
        scores = [_burstable_score(_oom_request(pod, c), memory_capacity) for c in podspec.containers(pod)]
        return min([own, *scores])
    return own


def _oom_request(pod: Obj, container: Obj) -> int:
    """Memory the score counts: the container's request, plus its part of what the pod asks beyond its
    containers."""
    own = memory(stated(container.get("resources"), "requests"))
    pod_level = stated(podspec.spec(pod).get("resources"), "requests")
    if "memory" not in pod_level:
        return own
    regular = podspec.containers(pod)
    sidecars = [c for c in podspec.init_containers(pod) if podspec.is_sidecar(c)]
    total = sum(memory(stated(c.get("resources"), "requests")) for c in (*regular, *sidecars))
    spare = memory(pod_level) - total
    return own + max(0, spare) // max(1, len(regular) + len(sidecars))


def _burstable_score(request: int, memory_capacity: int) -> int:
    score = 1000 - (1000 * request) // max(1, memory_capacity)
    return int(max(_OOM_BURSTABLE_LOW, min(_OOM_BURSTABLE_HIGH, score)))
