"""Figures of the node and its pods: /stats/summary and /metrics/resource; pure but for `machine_usage`.

Sources: https://kubernetes.io/docs/reference/instrumentation/node-metrics/ and .../metrics/ .
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.node.facts import parse_meminfo
from agent.view import ContainerUsage
from apimachinery.objects import Obj

_TICK = os.sysconf("SC_CLK_TCK")
_NANO = 1_000_000_000


@dataclass(frozen=True)
class MachineUsage:
    """The whole machine; nanoseconds and bytes."""

    timestamp_ns: int
    cpu_ns: int
    memory_working_set: int
    memory_available: int
    memory_usage: int
    boot_ns: int
    disk_capacity: int
    disk_available: int


def machine_usage(root_dir: Path) -> MachineUsage:
    """Read now from /proc."""
    stat = Path("/proc/stat").read_text().splitlines()
    ticks = [int(word) for word in stat[0].split()[1:9]]
    # user nice system idle iowait irq softirq steal: all but idle and iowait is use.
    busy = sum(ticks) - ticks[3] - ticks[4]
    boot = next(int(line.split()[1]) for line in stat if line.startswith("btime "))
    memory = parse_meminfo(Path("/proc/meminfo").read_text())
    disk = os.statvfs(root_dir if root_dir.exists() else "/")
    total, available = memory.get("MemTotal", 0), memory.get("MemAvailable", 0)
    return MachineUsage(
        timestamp_ns=time.time_ns(),
        cpu_ns=busy * _NANO // _TICK,
        memory_working_set=total - available,
        memory_available=available,
        memory_usage=total - memory.get("MemFree", 0),
        boot_ns=boot * _NANO,
        disk_capacity=disk.f_blocks * disk.f_frsize,
        disk_available=disk.f_bavail * disk.f_frsize,
    )


def summary(
    node_name: str,
    machine: MachineUsage,
    pods: Sequence[Obj],
    usages: Sequence[ContainerUsage],
    rates: dict[str, int],
) -> Obj:
    """The stats Summary; `rates` are nanocores by container id and "node"."""
    moment = _text(machine.timestamp_ns)
    cpu: Obj = {"time": moment, "usageCoreNanoSeconds": machine.cpu_ns}
    if "node" in rates:
        cpu["usageNanoCores"] = rates["node"]
    node = {
        "nodeName": node_name,
        "startTime": _text(machine.boot_ns),
        "cpu": cpu,
        "memory": {
            "time": moment,
            "availableBytes": machine.memory_available,
            "usageBytes": machine.memory_usage,
            "workingSetBytes": machine.memory_working_set,
        },
        "fs": {
            "time": moment,
            "availableBytes": machine.disk_available,
            "capacityBytes": machine.disk_capacity,
            "usedBytes": machine.disk_capacity - machine.disk_available,
        },
    }
    by_pod = _by_pod(usages)
    return {
        "node": node,
        "pods": [
            _pod_stats(pod, by_pod[pod["metadata"]["uid"]], rates) for pod in pods if pod["metadata"]["uid"] in by_pod
        ],
    }


def _pod_stats(pod: Obj, usages: Sequence[ContainerUsage], rates: dict[str, int]) -> Obj:
    meta = pod["metadata"]
    containers = [_container_stats(pod, usage, rates) for usage in usages]
    newest = max(usage.timestamp_ns for usage in usages)
    out: Obj = {
        "podRef": {"name": meta["name"], "namespace": meta.get("namespace", ""), "uid": meta["uid"]},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": containers,
        "cpu": {
            "time": _text(newest),
            "usageCoreNanoSeconds": sum(usage.cpu_usage_ns or 0 for usage in usages),
        },
        "memory": {
            "time": _text(newest),
            "workingSetBytes": sum(usage.memory_working_set or 0 for usage in usages),
            "usageBytes": sum(usage.memory_usage or usage.memory_working_set or 0 for usage in usages),
        },
    }
    known = [container["cpu"]["usageNanoCores"] for container in containers if "usageNanoCores" in container["cpu"]]
    if len(known) == len(containers):
        out["cpu"]["usageNanoCores"] = sum(known)
    return out


def _container_stats(pod: Obj, usage: ContainerUsage, rates: dict[str, int]) -> Obj:
    moment = _text(usage.timestamp_ns)
    rate = usage.cpu_nano_cores if usage.cpu_nano_cores is not None else rates.get(usage.ref.id)
    cpu = {"time": moment, "usageCoreNanoSeconds": usage.cpu_usage_ns, "usageNanoCores": rate}
    memory = {
        "time": moment,
        "workingSetBytes": usage.memory_working_set,
        "usageBytes": usage.memory_usage,
        "rssBytes": usage.memory_rss,
        "pageFaults": usage.memory_page_faults,
        "majorPageFaults": usage.memory_major_page_faults,
    }
    rootfs = {"time": moment, "usedBytes": usage.fs_used, "inodesUsed": usage.fs_inodes_used}
    return {
        "name": usage.ref.name,
        "startTime": started(pod, usage.ref.name),
        "cpu": _known(cpu),
        "memory": _known(memory),
        "rootfs": _known(rootfs),
    }


def resource_metrics(machine: MachineUsage, pods: Sequence[Obj], usages: Sequence[ContainerUsage]) -> str:
    """The resource metrics in the exposition format, with the times the figures were taken."""
    names = {pod["metadata"]["uid"]: pod for pod in pods}
    rows: dict[str, list[str]] = {name: [] for name in _RESOURCE_METRICS}

    def add(metric: str, labels: str, value: float, moment_ns: int) -> None:
        rows[metric].append(f"{metric}{labels} {value!r} {moment_ns // 1_000_000}")

    add("node_cpu_usage_seconds_total", "", machine.cpu_ns / _NANO, machine.timestamp_ns)
    add("node_memory_working_set_bytes", "", machine.memory_working_set, machine.timestamp_ns)
    for uid, group in _by_pod(usages).items():
        if uid not in names:
            continue
        meta = names[uid]["metadata"]
        where = f'namespace="{meta.get("namespace", "")}",pod="{meta["name"]}"'
        newest = max(usage.timestamp_ns for usage in group)
        for usage in group:
            labels = f'{{container="{usage.ref.name}",{where}}}'
            if usage.cpu_usage_ns is not None:
                seconds = usage.cpu_usage_ns / _NANO
                add("container_cpu_usage_seconds_total", labels, seconds, usage.timestamp_ns)
            if usage.memory_working_set is not None:
                size = usage.memory_working_set
                add("container_memory_working_set_bytes", labels, size, usage.timestamp_ns)
        total = sum(usage.cpu_usage_ns or 0 for usage in group) / _NANO
        add("pod_cpu_usage_seconds_total", f"{{{where}}}", total, newest)
        size = sum(usage.memory_working_set or 0 for usage in group)
        add("pod_memory_working_set_bytes", f"{{{where}}}", size, newest)
    lines: list[str] = []
    for metric, (kind, text) in _RESOURCE_METRICS.items():
        if rows[metric]:
            lines += [f"# HELP {metric} {text}", f"# TYPE {metric} {kind}", *rows[metric]]
    lines += [
        "# HELP resource_scrape_error 1 if there was an error, 0 otherwise",
        "# TYPE resource_scrape_error gauge",
    ]
    return "\n".join([*lines, "resource_scrape_error 0", ""])


_RESOURCE_METRICS = {
    "container_cpu_usage_seconds_total": ("counter", "CPU time used by the container, in core-seconds"),
    "container_memory_working_set_bytes": ("gauge", "Working set of the container, in bytes"),
    "node_cpu_usage_seconds_total": ("counter", "CPU time used by the node, in core-seconds"),
    "node_memory_working_set_bytes": ("gauge", "Working set of the node, in bytes"),
    "pod_cpu_usage_seconds_total": ("counter", "CPU time used by the pod, in core-seconds"),
    "pod_memory_working_set_bytes": ("gauge", "Working set of the pod, in bytes"),
}


class Rates:
    """Nanocores out of two readings of a counter that are some seconds apart."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, int]] = {}
        self._rates: dict[str, int] = {}

    def update(self, readings: Iterable[tuple[str, int, int]]) -> dict[str, int]:
        """`readings` are (key, time, used), both in nanoseconds; the newest known rates by key."""
        seen = set()
        for key, moment, used in readings:
            seen.add(key)
            before = self._before.get(key)
            # Less than a second apart says more about noise than about use.
            if before is None or used < before[1]:
                self._before[key] = (moment, used)
            elif moment - before[0] >= _NANO:
                self._rates[key] = (used - before[1]) * _NANO // (moment - before[0])
                self._before[key] = (moment, used)
        for gone in [key for key in self._before if key not in seen]:
            del self._before[gone]
            self._rates.pop(gone, None)
        return dict(self._rates)


def started(pod: Obj, name: str) -> str | None:
    """When the container's current run began."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status.get("name") == name:
            moment = ((status.get("state") or {}).get("running") or {}).get("startedAt")
            return None if moment is None else str(moment)
    return None


def _by_pod(usages: Sequence[ContainerUsage]) -> dict[str, list[ContainerUsage]]:
    grouped: dict[str, list[ContainerUsage]] = {}
    for usage in usages:
        grouped.setdefault(usage.ref.pod_uid, []).append(usage)
    return grouped


def _known(values: Obj) -> Obj:
    return {key: value for key, value in values.items() if value is not None}


def _text(moment_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment_ns // _NANO))
