"""/metrics/cadvisor: what the kernel counts of containers, pods and the machine, under cadvisor's names and labels.

A row is a cgroup. `id` is its path below the node's own root, as on a machine of its own; `/` is the machine. A
container's row has all labels, its pod's only pod and namespace, its sandbox's a name and an image but no container: so
upstream's kubelet has them, and queries add rows up by which labels are there (`container!=""`, `image!=""`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import podspec
from agent.host import processes
from agent.host.cgroups import KUBEPODS, pod_cgroup
from agent.host.figures import Figures, Samples
from agent.node.facts import MachineFacts, read_facts
from agent.server.families import FAMILIES
from agent.server.stats import MachineUsage, machine_usage
from agent.view import ContainerRef
from apimachinery.objects import Obj


@dataclass(frozen=True)
class Row:
    """One cgroup and what it is called."""

    id: str
    pod: Obj | None = None
    container: str = ""
    name: str = ""
    image: str = ""

    @property
    def labels(self) -> str:
        """As they are written."""
        namespace, pod = (podspec.namespace(self.pod), podspec.name(self.pod)) if self.pod else ("", "")
        pairs = (
            ("container", self.container),
            ("id", self.id),
            ("image", self.image),
            ("name", self.name),
            ("namespace", namespace),
            ("pod", pod),
        )
        return ",".join(f'{key}="{_escaped(value)}"' for key, value in pairs)


@dataclass(frozen=True)
class Placed:
    """A pod that has a sandbox, and what runs in it."""

    pod: Obj
    sandbox: str
    sandbox_image: str
    containers: Sequence[ContainerRef]


def rows(placed: Iterable[Placed]) -> list[Row]:
    """Every row there is: the machine's, the classes', the pods', their sandboxes' and containers'."""
    found = [Row("/"), *(Row(f"/{KUBEPODS}{below}") for below in ("", "/besteffort", "/burstable"))]
    for each in placed:
        where = pod_cgroup("/", each.pod)
        found.append(Row(where, each.pod))
        found.append(Row(f"{where}/{each.sandbox}", each.pod, "", each.sandbox, each.sandbox_image))
        found += [Row(f"{where}/{ref.id}", each.pod, ref.name, ref.id, ref.image) for ref in each.containers]
    return found


def page(disk: Path, root: str, figures: Figures, placed: Iterable[Placed]) -> str:
    """The whole document, read now; see `read`."""
    facts = read_facts(disk)
    versions = {"kernelVersion": facts.kernel, "osVersion": facts.os_image}
    containers = read(rows(placed), figures, root, machine_usage(disk), disk)
    return machine_text(facts, versions) + containers


def read(wanted: Sequence[Row], figures: Figures, root: str, machine: MachineUsage, disk: Path) -> str:
    """The exposition of the rows whose cgroup is there; `root`: that of the node's cgroups. Blocks: some tens of small
    files a row.
    """
    series: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for row in wanted:
        samples = _machine(figures, machine, disk) if row.id == "/" else _of(row, figures, root)
        if not samples:
            continue
        moment = time.time()
        samples["container_last_seen"] = [("", float(int(moment)))]
        for metric, values in samples.items():
            # What was set once has no time of its own.
            stamp = "" if metric.startswith(("container_spec", "container_start")) else f" {int(moment * 1000)}"
            for more, value in values:
                labels = row.labels + f",{more}" * bool(more)
                series[metric].append(f"{metric}{{{labels}}} {float(value)!r}{stamp}")
    return text(series)


def _of(row: Row, figures: Figures, root: str) -> Samples:
    path = f"{root.rstrip('/')}{row.id}"
    samples, born = figures.of(path), figures.born(path)
    if born is None:
        return {}
    samples["container_start_time_seconds"] = [("", float(int(born)))]
    if row.name:
        pids = figures.pids(path)
        samples.update(processes.counted(pids))
        # A pod's network is its sandbox's.
        if not row.container and pids:
            samples.update(processes.network(pids[0]))
    return samples


def _machine(figures: Figures, machine: MachineUsage, disk: Path) -> Samples:
    samples = figures.of("/")
    told = {
        "container_cpu_usage_seconds_total": ('cpu="total"', machine.cpu_ns / 1e9),
        "container_memory_usage_bytes": ("", machine.memory_usage),
        "container_memory_working_set_bytes": ("", machine.memory_working_set),
        "container_start_time_seconds": ("", machine.boot_ns // 1_000_000_000),
    }
    samples.update({name: [sample] for name, sample in told.items()})
    samples.update(processes.network("self"))
    samples.update(_file_system(disk))
    return samples


def _file_system(directory: Path) -> Samples:
    """Of the one that holds pods' files; bytes and inodes."""
    told = os.statvfs(directory if directory.exists() else "/")
    label = f'device="{_escaped(_mounted_at(directory))}"'
    values = {
        "container_fs_limit_bytes": told.f_blocks * told.f_frsize,
        "container_fs_usage_bytes": (told.f_blocks - told.f_bfree) * told.f_frsize,
        "container_fs_inodes_total": told.f_files,
        "container_fs_inodes_free": told.f_ffree,
    }
    return {name: [(label, value)] for name, value in values.items()}


def _mounted_at(directory: Path) -> str:
    """The device of the directory's mount, as /proc/self/mountinfo calls it."""
    number = os.stat(directory if directory.exists() else "/").st_dev  # noqa: PTH116
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        if words[2] == wanted:
            return words[words.index("-") + 2]
    return ""


def machine_text(facts: MachineFacts, kernel_only: Mapping[str, str]) -> str:
    """The series of the machine itself; `kernel_only`: labels of cadvisor_version_info."""
    pairs = (("boot_id", facts.boot_id), ("machine_id", facts.machine_id), ("system_uuid", facts.system_uuid))
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in pairs)
    about = ",".join(f'{key}="{_escaped(value)}"' for key, value in kernel_only.items())
    values = {
        "cadvisor_version_info": (about, 1),
        "machine_cpu_cores": (labels, facts.cpus),
        "machine_memory_bytes": (labels, facts.memory),
        "machine_swap_bytes": (labels, facts.swap),
    }
    return text({name: [f"{name}{{{where}}} {float(value)!r}"] for name, (where, value) in values.items()})


def text(series: Mapping[str, Sequence[str]]) -> str:
    """Families that have a series, in the exposition format."""
    lines: list[str] = []
    for name, found in series.items():
        if found:
            kind, told = FAMILIES[name]
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}", *found]
    return "\n".join([*lines, ""])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
