"""Pods: quality of service, graceful deletion, what an update may touch."""

from __future__ import annotations

from collections.abc import Iterable

from apimachinery.objects import Obj
from apimachinery.pods.qos import qos_class
from apimachinery.timestamps import format_time, now
from controlplane.apiserver import defaults
from controlplane.apiserver.advice import pods as advice
from controlplane.apiserver.catalog.strategy import read_back
from controlplane.apiserver.strategies import gates


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
    status: Obj = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
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
    gates.pod_spec(pod["spec"])
    _profiles(pod)
    _match_labels(pod)


def _profiles(pod: Obj) -> None:
    """AppArmor profiles that only annotations name become fields, as upstream does for nodes that read these alone."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations") or {}
    if not annotations or (spec.get("os") or {}).get("name") == "windows":
        return
    whole = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        said = annotations.get(advice.APP_ARMOR + (container.get("name") or ""))
        profile = advice.app_armor_profile(said) if said is not None else None
        if (
            profile is not None
            and profile != whole
            and not (container.get("securityContext") or {}).get("appArmorProfile")
        ):
            container.setdefault("securityContext", {})["appArmorProfile"] = profile


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
    gates.pod_spec(new["spec"], old["spec"])


def prepare_status(new: Obj, old: Obj) -> None:
    """Status writes keep the spec; the quality of service class and the generations that were seen cannot be lost."""
    new["spec"] = old["spec"]
    status, was = new.setdefault("status", {}), old.get("status") or {}
    for field in ("qosClass", "observedGeneration"):
        if not status.get(field) and was.get(field):
            status[field] = was[field]
    _keep_generations(status.get("conditions") or (), was.get("conditions") or ())
    gates.pod_status(status, was)


def finish(pod: Obj) -> None:
    """What containers were given meanwhile counts for what the pod asks for as a whole."""
    if pod["spec"].get("resources"):
        read_back(pod)


def _keep_generations(conditions: Iterable[Obj], before: Iterable[Obj]) -> None:
    """A condition that names no generation has that of the one of its type before it; of several in their order."""
    seen: dict[str, list[int]] = {}
    for condition in before:
        seen.setdefault(condition["type"], []).append(condition.get("observedGeneration") or 0)
    for condition in conditions:
        held = seen.get(condition["type"])
        generation = held.pop(0) if held else 0
        if generation and not condition.get("observedGeneration"):
            condition["observedGeneration"] = generation


def grace(pod: Obj, asked: int | None) -> int:
    """Seconds a deleted pod lives on: its own period unless asked otherwise, none when no node has it."""
    spec, status = pod["spec"], pod.get("status") or {}
    period: int = spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked
    if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
        period = 0
    return 1 if period < 0 else period
