"""Requests and limits as statuses show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agent import podspec
from apimachinery.objects import Obj
from apimachinery.pods.totals import stated, total
from apimachinery.quantity import Quantity


def pod_resources(pod: Obj) -> tuple[dict[str, str], dict[str, str]]:
    """(requests, limits): summed cpu and memory as canonical quantities, only what is stated; the pod's own figures
    win.
    """
    requests, limits = (total(podspec.spec(pod), side, overhead=False) for side in ("requests", "limits"))
    return _told(requests), _told(limits)


def _told(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    return {name: str(amounts[name]) for name in ("cpu", "memory") if name in amounts}


def container_resources(container: Obj) -> tuple[Obj, Obj | None]:
    """(resources, allocatedResources) as reported for a container that exists."""
    resources = container.get("resources") or {}
    requests = stated(resources, "requests")
    shown: Obj = {}
    if resources.get("limits"):
        shown["limits"] = dict(resources["limits"])
    if requests:
        shown["requests"] = requests if "memory" in requests else {**requests, "memory": "0"}
    return shown, requests or None
