"""What the kernel counts of one cgroup, under the names that cadvisor's series have, in v1 and v2 alike.

A file that is not there (no such controller, a cgroup that went meanwhile) leaves its series out.
Sources: cgroup-v1/{cpuacct,memory,blkio-controller,pids} and cgroup-v2 of the kernel's documentation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agent.host.cgroups import Hierarchy

Samples = dict[str, list[tuple[str, float]]]
"""Series by metric: further labels as they are written (`cpu="total"`, or none), value in seconds or bytes."""

_TICK = os.sysconf("SC_CLK_TCK")
# What stands for no limit in v1 is the largest multiple of a page.
_UNLIMITED = 1 << 62
_DEVICES = Path("/sys/dev/block")


class Figures:
    """Reads the cgroups of a hierarchy."""

    def __init__(self, hierarchy: Hierarchy, devices: Path = _DEVICES) -> None:
        self._unified = hierarchy.unified
        self._devices = devices
        every = hierarchy.all_mounts or hierarchy.mounts
        # One mount may be that of several controllers: cpu,cpuacct.
        self._mounts = {name: mount for mount in every for name in mount.name.split(",")}
        self._tree = every[0] if every else Path("/sys/fs/cgroup")

    def directory(self, controller: str, path: str) -> Path:
        """Where the controller has the cgroup."""
        mount = self._tree if self._unified else self._mounts.get(controller, Path("/nonexistent"))
        return mount / path.strip("/")

    def of(self, path: str) -> Samples:
        """Everything of the cgroup at a path from the root of the hierarchy."""
        found: Samples = {}
        parts = (_cpu_v2, _memory_v2) if self._unified else (_cpu_v1, _memory_v1)
        for name, labels, value in (
            *(each for part in parts for each in part(lambda controller: self.directory(controller, path))),
            *self._disk(path),
            *_pids(self.directory("pids", path)),
        ):
            found.setdefault(name, []).append((labels, value))
        return found

    def pids(self, path: str) -> list[int]:
        """The processes that are in the cgroup itself."""
        return [int(word) for word in _text(self.directory("memory", path) / "cgroup.procs").split()]

    def born(self, path: str) -> float | None:
        """When the cgroup was made, in seconds since the epoch."""
        try:
            return self.directory("memory", path).stat().st_mtime
        except OSError:
            return None

    def _disk(self, path: str) -> Iterator[_Value]:
        base = self.directory("blkio", path)
        if self._unified:
            counted = _io_stat(_text(base / "io.stat"))
        else:
            counted = _blkio(
                _text(base / "blkio.throttle.io_service_bytes_recursive"),
                _text(base / "blkio.throttle.io_serviced_recursive"),
            )
        for number, values in counted.items():
            device = self._device(number)
            for (metric, operation), value in values.items():
                yield metric, f'device="{device}"', value
                if metric.endswith("_bytes_total"):
                    major, _, minor = number.partition(":")
                    where = f'device="{device}",major="{major}",minor="{minor}",operation="{operation}"'
                    yield "container_blkio_device_usage_total", where, value

    def _device(self, number: str) -> str:
        words = dict(
            line.split("=", 1) for line in _text(self._devices / number / "uevent").splitlines() if "=" in line
        )
        return f"/dev/{words['DEVNAME']}" if "DEVNAME" in words else ""


_Value = tuple[str, str, float]
_Place = Callable[[str], Path]


def _cpu_v1(place: _Place) -> Iterator[_Value]:
    used = _number(place("cpuacct") / "cpuacct.usage")
    if used is not None:
        yield "container_cpu_usage_seconds_total", 'cpu="total"', used / 1e9
    split = _flat(place("cpuacct") / "cpuacct.stat")
    for kind in ("user", "system"):
        if kind in split:
            yield f"container_cpu_{kind}_seconds_total", "", split[kind] / _TICK
    base = place("cpu")
    share, period = _number(base / "cpu.shares"), _number(base / "cpu.cfs_period_us")
    quota = _number(base / "cpu.cfs_quota_us") or 0
    yield from _weight(share, period, max(0, quota), _flat(base / "cpu.stat"), "throttled_time", 1e9)


def _cpu_v2(place: _Place) -> Iterator[_Value]:
    base = place("cpu")
    stat = _flat(base / "cpu.stat")
    if "usage_usec" in stat:
        yield "container_cpu_usage_seconds_total", 'cpu="total"', stat["usage_usec"] / 1e6
    for kind in ("user", "system"):
        if f"{kind}_usec" in stat:
            yield f"container_cpu_{kind}_seconds_total", "", stat[f"{kind}_usec"] / 1e6
    weight = _number(base / "cpu.weight")
    share = None if weight is None else 2 + (weight - 1) * 262142 // 9999
    quota, _, period = _text(base / "cpu.max").partition(" ")
    held = int(quota) if quota.isdigit() else 0
    yield from _weight(share, int(period) if period.isdigit() else None, held, stat, "throttled_usec", 1e6)


def _weight(
    share: int | None, period: int | None, quota: int, stat: Mapping[str, int], throttled: str, unit: float
) -> Iterator[_Value]:
    if share is not None:
        yield "container_spec_cpu_shares", "", share
    if period is not None:
        yield "container_spec_cpu_period", "", period
    if quota:
        yield "container_spec_cpu_quota", "", quota
        yield "container_cpu_cfs_periods_total", "", stat.get("nr_periods", 0)
        yield "container_cpu_cfs_throttled_periods_total", "", stat.get("nr_throttled", 0)
        yield "container_cpu_cfs_throttled_seconds_total", "", stat.get(throttled, 0) / unit


def _memory_v1(place: _Place) -> Iterator[_Value]:
    base = place("memory")
    stat = _flat(base / "memory.stat")
    for metric, key in (
        ("cache", "total_cache"),
        ("rss", "total_rss"),
        ("mapped_file", "total_mapped_file"),
        ("swap", "total_swap"),
        ("total_active_file_bytes", "total_active_file"),
        ("total_inactive_file_bytes", "total_inactive_file"),
    ):
        if key in stat:
            yield f"container_memory_{metric}", "", stat[key]
    usage = _number(base / "memory.usage_in_bytes")
    yield from _used(usage, stat.get("total_inactive_file", 0))
    for metric, file in (
        ("max_usage_bytes", "memory.max_usage_in_bytes"),
        ("failcnt", "memory.failcnt"),
        ("kernel_usage", "memory.kmem.usage_in_bytes"),
    ):
        if (value := _number(base / file)) is not None:
            yield f"container_memory_{metric}", "", value
    for scope, prefix in (("container", ""), ("hierarchy", "total_")):
        yield from _faults(scope, stat, prefix)
    if "oom_kill" in (events := _flat(base / "memory.oom_control")):
        yield "container_oom_events_total", "", events["oom_kill"]
    for metric, file in (
        ("limit_bytes", "memory.limit_in_bytes"),
        ("swap_limit_bytes", "memory.memsw.limit_in_bytes"),
        ("reservation_limit_bytes", "memory.soft_limit_in_bytes"),
    ):
        if (value := _number(base / file)) is not None:
            yield f"container_spec_memory_{metric}", "", 0 if value >= _UNLIMITED else value


def _memory_v2(place: _Place) -> Iterator[_Value]:
    base = place("memory")
    stat = _flat(base / "memory.stat")
    for metric, key in (
        ("cache", "file"),
        ("rss", "anon"),
        ("mapped_file", "file_mapped"),
        ("kernel_usage", "kernel"),
        ("total_active_file_bytes", "active_file"),
        ("total_inactive_file_bytes", "inactive_file"),
    ):
        if key in stat:
            yield f"container_memory_{metric}", "", stat[key]
    yield from _used(_number(base / "memory.current"), stat.get("inactive_file", 0))
    for metric, file in (("swap", "memory.swap.current"), ("max_usage_bytes", "memory.peak")):
        if (value := _number(base / file)) is not None:
            yield f"container_memory_{metric}", "", value
    for scope in ("container", "hierarchy"):
        yield from _faults(scope, stat, "")
    events = _flat(base / "memory.events")
    if events:
        yield "container_memory_failcnt", "", events.get("max", 0)
        yield "container_oom_events_total", "", events.get("oom_kill", 0)
    for metric, file in (
        ("limit_bytes", "memory.max"),
        ("swap_limit_bytes", "memory.swap.max"),
        ("reservation_limit_bytes", "memory.low"),
    ):
        if told := _text(base / file):
            yield f"container_spec_memory_{metric}", "", int(told) if told.isdigit() else 0


def _used(usage: int | None, inactive: int) -> Iterator[_Value]:
    if usage is not None:
        yield "container_memory_usage_bytes", "", usage
        yield "container_memory_working_set_bytes", "", max(0, usage - inactive)


def _faults(scope: str, stat: Mapping[str, int], prefix: str) -> Iterator[_Value]:
    for kind in ("pgfault", "pgmajfault"):
        if prefix + kind in stat:
            yield "container_memory_failures_total", f'failure_type="{kind}",scope="{scope}"', stat[prefix + kind]


def _pids(base: Path) -> Iterator[_Value]:
    if (count := _number(base / "pids.current")) is not None:
        yield "container_threads", "", count
        most = _text(base / "pids.max")
        yield "container_threads_max", "", int(most) if most.isdigit() else 0


_Counted = dict[str, dict[tuple[str, str], float]]
_READS = {"Read": "reads", "Write": "writes"}


def _blkio(sizes: str, counts: str) -> _Counted:
    """By device number; v1's lines are `8:0 Read 4096`."""
    found: _Counted = {}
    for text, metric in ((sizes, "container_fs_{}_bytes_total"), (counts, "container_fs_{}_total")):
        for line in text.splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in _READS:
                found.setdefault(words[0], {})[metric.format(_READS[words[1]]), words[1]] = int(words[2])
    return found


def _io_stat(text: str) -> _Counted:
    """By device number; v2's lines are `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`."""
    keys = {
        "rbytes": ("container_fs_reads_bytes_total", "Read"),
        "wbytes": ("container_fs_writes_bytes_total", "Write"),
        "rios": ("container_fs_reads_total", "Read"),
        "wios": ("container_fs_writes_total", "Write"),
    }
    found: _Counted = {}
    for line in text.splitlines():
        number, *pairs = line.split()
        told = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        found[number] = {named: int(told[key]) for key, named in keys.items() if told.get(key, "").isdigit()}
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.lstrip("-").isdigit() else None


def _flat(file: Path) -> dict[str, int]:
    """`key value` lines."""
    pairs = (line.split() for line in _text(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}
