"""Pods: quality of service, graceful deletion, what an update may touch."""

from __future__ import annotations

from apimachinery import quantity
from apimachinery.timestamps import format_time, now
from controlplane.apiserver import defaults
from controlplane.apiserver.request import Obj

_QOS_RESOURCES = ("cpu", "memory")


def default(pod: Obj) -> None:
    """The one address and the list of them agree; where they do not, the one is meant."""
    status = pod.get("status") or {}
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address and addresses[0].get("ip"):
        status["podIP"] = addresses[0]["ip"]
    defaults.apply(pod)


def prepare_create(pod: Obj) -> None:
    """A new pod is Pending, whatever its creator says."""
    status: Obj = {"phase": "Pending", "qosClass": qos(pod)}
    if pod["spec"].get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": format_time(now()),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    pod["status"] = status
    _drop_gated(pod["spec"])
    _match_labels(pod)


def _drop_gated(spec: Obj) -> None:
    """Stop signals are behind a feature gate that is off."""
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        lifecycle = container.get("lifecycle") or {}
        if lifecycle.pop("stopSignal", None) is not None and not lifecycle:
            del container["lifecycle"]


def _match_labels(pod: Obj) -> None:
    """matchLabelKeys and their opposite become requirements with the pod's own values."""
    labels, spec = pod["metadata"].get("labels") or {}, pod["spec"]
    affinity = spec.get("affinity") or {}
    for rules in (affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}):
        for term in rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            _require(term, labels)
        for preferred in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            _require(preferred.get("podAffinityTerm") or {}, labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _require(constraint, labels)


def _require(term: Obj, labels: dict[str, str]) -> None:
    selector = term.get("labelSelector")
    if selector is None:
        return
    for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(field) or ():
            if key in labels:
                requirement = {"key": key, "operator": operator, "values": [labels[key]]}
                selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), requirement]


def prepare_update(new: Obj, old: Obj) -> None:
    new["status"] = old["status"]


def prepare_status(new: Obj, old: Obj) -> None:
    """Status writes keep the spec; the quality of service class cannot be lost."""
    new["spec"] = old["spec"]
    status = new.setdefault("status", {})
    if not status.get("qosClass") and old.get("status", {}).get("qosClass"):
        status["qosClass"] = old["status"]["qosClass"]


def qos(pod: Obj) -> str:
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


def grace(pod: Obj, asked: int | None) -> int:
    """Seconds a deleted pod lives on: its own period unless asked otherwise, none when no node has it."""
    spec, status = pod["spec"], pod.get("status") or {}
    period: int = spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked
    if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
        period = 0
    return 1 if period < 0 else period
