"""Requests and limits as statuses show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agent import podspec
from agent.cri.model import Container, Limits
from agent.host.resources import PERIOD_US, memory, milli_cpu, quota, shares
from apimachinery.objects import Obj
from apimachinery.pods.totals import stated, total
from apimachinery.quantity import Quantity, parse


def pod_resources(pod: Obj) -> tuple[dict[str, str], dict[str, str]]:
    """(requests, limits): summed cpu and memory as canonical quantities, only what is stated; the pod's own figures
    win.
    """
    requests, limits = (total(podspec.spec(pod), side, overhead=False) for side in ("requests", "limits"))
    return _told(requests), _told(limits)


def _told(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    return {name: str(amounts[name]) for name in ("cpu", "memory") if name in amounts}


def container_resources(container: Obj, run: Container) -> tuple[Obj, Obj | None]:
    """(resources, allocatedResources) as reported for a container that exists: what it is granted, and of one that runs
    what it is held to where that is something else."""
    resources = container.get("resources") or {}
    requests = stated(resources, "requests")
    shown: Obj = {}
    if resources.get("limits"):
        shown["limits"] = dict(resources["limits"])
    if requests:
        shown["requests"] = dict(requests)
    if run.limits is not None:
        if run.running:
            _as_held(shown, run.limits)
    elif requests:
        # As upstream shows it where the runtime does not say what a container is held to.
        shown["requests"].setdefault("memory", "0")
    return shown, requests or None


def _as_held(shown: Obj, held: Limits) -> None:
    limits, requests = shown.get("limits") or {}, shown.get("requests") or {}
    if held.cpu_quota and quota(milli_cpu(limits)) not in (0, held.cpu_quota):
        limits["cpu"] = str(parse(f"{held.cpu_quota * 1000 // PERIOD_US}m"))
    if held.memory and memory(limits) not in (0, held.memory):
        limits["memory"] = str(held.memory)
    if "cpu" in requests and shares(milli_cpu(requests)) != held.cpu_shares:
        requests["cpu"] = str(parse(f"{-(-held.cpu_shares * 1000 // 1024)}m"))
