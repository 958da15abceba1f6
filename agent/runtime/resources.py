"""Requests and limits as the kernel's figures. Pure.

Source: pkg/kubelet/cm and pkg/kubelet/qos behaviour: 1024 shares a core (at least 2), a quota per 100 ms
period (at least 1 ms), OOM score adjusted by quality of service.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent import podspec
from agent.podspec import Obj
from agent.status.qos import BEST_EFFORT, GUARANTEED, effective_requests, qos_class
from apimachinery import quantity

PERIOD_US = 100_000
_MIN_SHARES, _MAX_SHARES = 2, 262_144
_MIN_QUOTA_US = 1000

_OOM_CRITICAL, _OOM_GUARANTEED, _OOM_BEST_EFFORT = -997, -997, 1000
_OOM_BURSTABLE_LOW, _OOM_BURSTABLE_HIGH = 3, 999


@dataclass(frozen=True)
class Limits:
    """cpu_quota in µs a period and memory in bytes; 0 is no limit."""

    cpu_shares: int
    cpu_quota: int
    memory: int


def shares(milli_cpu: int) -> int:
    if milli_cpu == 0:
        return _MIN_SHARES
    return max(_MIN_SHARES, min(_MAX_SHARES, milli_cpu * 1024 // 1000))


def quota(milli_cpu: int) -> int:
    if milli_cpu == 0:
        return 0
    return max(_MIN_QUOTA_US, milli_cpu * PERIOD_US // 1000)


def _milli_cpu(listed: Obj | None) -> int:
    return quantity.parse((listed or {}).get("cpu", "0")).milli()


def _memory(listed: Obj | None) -> int:
    return quantity.parse((listed or {}).get("memory", "0")).value()


def container_limits(pod: Obj, container: Obj) -> Limits:
    """A container without limits of its own is held by its pod's, where the pod has some."""
    resources = container.get("resources") or {}
    own_limits = resources.get("limits") or {}
    pod_limits = (podspec.spec(pod).get("resources") or {}).get("limits") or {}
    cpu_limit = _milli_cpu(own_limits) or _milli_cpu(pod_limits)
    memory_limit = _memory(own_limits) or _memory(pod_limits)
    requested = _milli_cpu(resources.get("requests"))
    explicit = "cpu" in (resources.get("requests") or {})
    return Limits(
        cpu_shares=shares(requested if explicit or requested else cpu_limit),
        cpu_quota=quota(cpu_limit),
        memory=memory_limit,
    )


def _pod_amounts(pod: Obj, pick: str) -> tuple[int, int, bool, bool]:
    """(milli cpu, memory bytes, cpu stated by all, memory stated by all) over the whole pod: sidecars add
    to the containers; ordinary init containers run alone, so only the greatest counts."""

    def amounts(container: Obj) -> tuple[int, int, bool, bool]:
        resources = container.get("resources") or {}
        listed = effective_requests(resources) if pick == "requests" else resources.get("limits") or {}
        cpu, memory = _milli_cpu(listed), _memory(listed)
        return cpu, memory, cpu > 0, memory > 0

    cpu = memory = sidecar_cpu = sidecar_memory = peak_cpu = peak_memory = 0
    all_cpu = all_memory = True
    for container in podspec.init_containers(pod):
        c, m, has_cpu, has_memory = amounts(container)
        all_cpu, all_memory = all_cpu and has_cpu, all_memory and has_memory
        if podspec.is_sidecar(container):
            sidecar_cpu, sidecar_memory = sidecar_cpu + c, sidecar_memory + m
            c = m = 0
        peak_cpu, peak_memory = max(peak_cpu, sidecar_cpu + c), max(peak_memory, sidecar_memory + m)
    for container in podspec.containers(pod):
        c, m, has_cpu, has_memory = amounts(container)
        all_cpu, all_memory = all_cpu and has_cpu, all_memory and has_memory
        cpu, memory = cpu + c, memory + m
    return (
        max(cpu + sidecar_cpu, peak_cpu),
        max(memory + sidecar_memory, peak_memory),
        all_cpu,
        all_memory,
    )


def pod_milli_cpu(pod: Obj) -> int:
    """Millicores the whole pod asks for, its overhead included."""
    pod_level = effective_requests(podspec.spec(pod).get("resources") or {})
    asked = _milli_cpu(pod_level) if "cpu" in pod_level else _pod_amounts(pod, "requests")[0]
    return asked + _milli_cpu(podspec.spec(pod).get("overhead") or {})


def pod_limits(pod: Obj) -> Limits:
    """The pod's own cgroup: a limit stands only where every container (or the pod itself) has one."""
    pod_level = podspec.spec(pod).get("resources") or {}
    overhead = podspec.spec(pod).get("overhead") or {}
    cpu_limit, memory_limit, all_cpu, all_memory = _pod_amounts(pod, "limits")
    limited = pod_level.get("limits") or {}
    if "cpu" in limited:
        cpu_limit, all_cpu = _milli_cpu(limited), True
    if "memory" in limited:
        memory_limit, all_memory = _memory(limited), True
    extra_cpu, extra_memory = _milli_cpu(overhead), _memory(overhead)
    return Limits(
        cpu_shares=shares(pod_milli_cpu(pod)),
        cpu_quota=quota(cpu_limit + extra_cpu) if all_cpu and cpu_limit else 0,
        memory=memory_limit + extra_memory if all_memory and memory_limit else 0,
    )


def pod_requests_and_limits(pod: Obj) -> tuple[dict[str, str], dict[str, str]]:
    """Summed cpu and memory as canonical quantities, only what is stated; pod-level figures win."""
    pod_level = podspec.spec(pod).get("resources") or {}
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for pick, into in (("requests", requests), ("limits", limits)):
        holders = [
            effective_requests(c.get("resources")) if pick == "requests" else _limits(c)
            for c in (*podspec.init_containers(pod), *podspec.containers(pod))
        ]
        milli_cpu, memory, _, _ = _pod_amounts(pod, pick)
        if any("cpu" in h for h in holders):
            into["cpu"] = str(quantity.parse(f"{milli_cpu}m"))
        if any("memory" in h for h in holders):
            into["memory"] = _memory_text(memory, holders)
        own = effective_requests(pod_level) if pick == "requests" else pod_level.get("limits") or {}
        into.update({k: str(v) for k, v in own.items() if k in ("cpu", "memory")})
    return requests, limits


def _limits(container: Obj) -> Obj:
    return (container.get("resources") or {}).get("limits") or {}


def _memory_text(total: int, holders: list[Obj]) -> str:
    """Binary suffixes where the manifest used them."""
    binary = any(str(h.get("memory", "")).endswith("i") for h in holders)
    return str(quantity.Quantity(total * 10**9, quantity.BINARY if binary else quantity.DECIMAL))


def oom_score_adj(pod: Obj, container: Obj, memory_capacity: int) -> int:
    """``memory_capacity`` of the node in bytes. Source: the kubelet's QoS policy table in its
    node-pressure page."""
    if (podspec.spec(pod).get("priority") or 0) >= podspec.SYSTEM_CRITICAL_PRIORITY:
        return _OOM_CRITICAL
    quality = qos_class(pod)
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
    own = _memory(effective_requests(container.get("resources")))
    pod_level = effective_requests(podspec.spec(pod).get("resources"))
    if "memory" not in pod_level:
        return own
    regular = podspec.containers(pod)
    sidecars = [c for c in podspec.init_containers(pod) if podspec.is_sidecar(c)]
    total = sum(_memory(effective_requests(c.get("resources"))) for c in (*regular, *sidecars))
    spare = _memory(pod_level) - total
    return own + max(0, spare) // max(1, len(regular) + len(sidecars))


def _burstable_score(request: int, memory_capacity: int) -> int:
    score = 1000 - (1000 * request) // max(1, memory_capacity)
    return int(max(_OOM_BURSTABLE_LOW, min(_OOM_BURSTABLE_HIGH, score)))
