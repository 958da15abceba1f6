"""What a lab looks like now: one value, printed as a screen of tables or as JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE
from apimachinery.objects import Obj, condition_holds, labels, name, namespace
from lab import cgroups, names, state
from lab.paths import Paths
from lab.spec import Spec, SpecError
from lab.supervisor_client import Report, Supervision

WIDTH = 100
ASK_DEADLINE = 5.0


@dataclass(frozen=True)
class Component:
    """One process: memory in bytes (its own and its share of what it has with others), age in seconds."""

    name: str
    up: bool
    pid: int
    memory: int
    age: float
    restarts: int
    note: str


@dataclass(frozen=True)
class NodeLine:
    """One node as the API has it."""

    name: str
    state: str
    address: str
    pod_cidr: str
    pods: int


@dataclass(frozen=True)
class Vip:
    """One Service with a cluster IP."""

    service: str
    address: str
    ports: str
    ready: int
    total: int


@dataclass(frozen=True)
class Status:
    """The whole lab; `problem` says why the API's part is missing."""

    lab: str
    server: str
    proxy_mode: str
    components: tuple[Component, ...]
    nodes: tuple[NodeLine, ...] = ()
    pods: tuple[tuple[str, int], ...] = ()
    vips: tuple[Vip, ...] = ()
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return asdict(self) | {"pods": dict(self.pods)}


@dataclass(frozen=True)
class Summary:
    """One lab in a line. `state` is running, off, or damaged (nothing describes it any more); then the rest is
    unknown, and empty.
    """

    lab: str
    state: str
    nodes: int = 0
    proxy_mode: str = ""
    server: str = ""


def summary(paths: Paths) -> Summary:
    """What the lab's description and its cgroup say; asks no daemon, and needs no root."""
    try:
        spec = state.load(paths)
    except SpecError:
        spec = None
    if spec is None:
        return Summary(paths.lab, "damaged")
    runs = bool(cgroups.members(names.daemons(paths.lab)))
    return Summary(paths.lab, "running" if runs else "off", len(spec.nodes), spec.proxy_mode, spec.server)


def require_running(spec: Spec) -> None:
    """Raises SpecError for a lab that is switched off: nothing of it can be asked or entered."""
    if not cgroups.members(names.daemons(spec.name)):
        hint = f"`wherry start --name {spec.name}` switches it on, `wherry down` takes it away"
        raise SpecError(f"lab {spec.name} is off: {hint}")


async def gather(spec: Spec, paths: Paths) -> Status:
    """Ask the supervisor and, within five seconds, the API server."""
    reports = await Supervision(paths).reports()
    if not reports:
        require_running(spec)
    parts = tuple(_component(report, time.time()) for report in reports)
    base = Status(spec.name, spec.server, spec.proxy_mode, parts)
    client = Client.from_kubeconfig(paths.kubeconfig, user_agent="wherry-status")
    try:
        kinds = (NODE, POD, SERVICE, ENDPOINT_SLICE)
        lists = await asyncio.wait_for(asyncio.gather(*(client.list(kind) for kind in kinds)), ASK_DEADLINE)
    except (errors.ApiError, errors.Unreachable, asyncio.TimeoutError) as error:
        return _with(base, problem=f"the API server does not answer: {error}")
    finally:
        await client.close()
    nodes, pods, services, slices = (result["items"] for result in lists)
    return _with(
        base,
        nodes=tuple(_node(spec, obj, pods) for obj in sorted(nodes, key=name)),
        pods=_phases(pods),
        vips=tuple(_vip(service, slices) for service in services if _has_vip(service)),
    )


def _with(status: Status, **changes: Any) -> Status:
    return Status(**{**{f: getattr(status, f) for f in status.__dataclass_fields__}, **changes})


def _component(report: Report, now: float) -> Component:
    up = report.pid > 0
    return Component(
        name=report.process.name,
        up=up,
        pid=report.pid,
        memory=memory_of(report.pid) if up else 0,
        age=now - report.since if up else 0.0,
        restarts=report.restarts,
        note=report.last_exit,
    )


def memory_of(pid: int) -> int:
    """Bytes that a process takes of the machine's memory: proportional set size, since forks share pages; 0 when it is
    gone.
    """
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _node(spec: Spec, obj: Obj, pods: Sequence[Obj]) -> NodeLine:
    told = "Ready" if condition_holds(obj, "Ready") else "NotReady"
    if any(each.name == name(obj) and each.stopped for each in spec.nodes):
        told += " (off)"
    if obj["spec"].get("unschedulable"):
        told += ",SchedulingDisabled"
    addresses = (obj.get("status") or {}).get("addresses") or ()
    address = next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")
    count = sum(1 for pod in pods if (pod.get("spec") or {}).get("nodeName") == name(obj))
    return NodeLine(name(obj), told, address, ",".join(obj["spec"].get("podCIDRs") or ()), count)


def _phases(pods: Sequence[Obj]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for pod in pods:
        phase = (pod.get("status") or {}).get("phase", "Unknown")
        counts[phase] = counts.get(phase, 0) + 1
    return tuple(sorted(counts.items()))


def _has_vip(service: Obj) -> bool:
    return service["spec"].get("clusterIP", "None") not in ("", "None")


def _vip(service: Obj, slices: Sequence[Obj]) -> Vip:
    key = (namespace(service), name(service))
    mine = [s for s in slices if (namespace(s), labels(s).get("kubernetes.io/service-name")) == key]
    endpoints = [endpoint for s in mine for endpoint in s.get("endpoints") or ()]
    ready = sum(1 for e in endpoints if (e.get("conditions") or {}).get("ready") is not False)
    ports = ",".join(_port(port) for port in service["spec"].get("ports") or ())
    return Vip("/".join(key), service["spec"]["clusterIP"], ports, ready, len(endpoints))


def _port(port: Obj) -> str:
    text = f"{port['port']}/{port.get('protocol', 'TCP')}"
    return f"{port['port']}:{port['nodePort']}/{port.get('protocol', 'TCP')}" if port.get("nodePort") else text


def render(status: Status) -> str:
    """One screen, at most 100 columns wide."""
    memory = sum(part.memory for part in status.components)
    lines = [f"lab {status.lab}   API {status.server}   proxy {status.proxy_mode}   memory {_megabytes(memory)}", ""]
    rows = [
        (
            part.name,
            "up" if part.up else "down",
            str(part.pid or "-"),
            _megabytes(part.memory),
            _age(part.age),
            str(part.restarts),
            "" if part.up and not part.restarts else part.note,
        )
        for part in status.components
    ]
    lines += table(("COMPONENT", "STATE", "PID", "MEMORY", "AGE", "RESTARTS", "LAST EXIT"), rows)
    if status.problem:
        return "\n".join([*lines, "", status.problem])
    nodes = [(n.name, n.state, n.address, n.pod_cidr, str(n.pods)) for n in status.nodes]
    lines += ["", *table(("NODE", "STATE", "ADDRESS", "POD CIDR", "PODS"), nodes)]
    vips = [(v.service, v.address, v.ports, f"{v.ready}/{v.total}") for v in status.vips]
    lines += ["", *table(("SERVICE", "CLUSTER IP", "PORTS", "ENDPOINTS"), vips)]
    phases = ", ".join(f"{count} {phase}" for phase, count in status.pods) or "none"
    return "\n".join([*lines, "", f"pods: {phases}"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they need, cut at the screen's width."""
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    return ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()[:WIDTH] for line in (head, *rows)]


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MB" if size else "-"


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f}s"
    if seconds < 7200:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3600:.0f}h"
