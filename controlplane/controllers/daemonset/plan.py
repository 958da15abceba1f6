"""Where pods are missing, where they are too many or outdated, and what the status says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from apimachinery.objects import Obj, copy, is_deleting, labels, name, uid
from apimachinery.pods.placement import Toleration
from controlplane.controllers import names, pod_status
from controlplane.controllers.shares import resolved
from controlplane.scheduler import extract
from controlplane.scheduler.extract import Node, Pod
from controlplane.scheduler.plugins.node_affinity import matches
from controlplane.scheduler.plugins.taints import untolerated

REVISION_HASH = "controller-revision-hash"
TEMPLATE_GENERATION = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"

# What every daemon pod tolerates: trouble of a node is no reason to take its daemons away.
TOLERATED = (
    (names.NOT_READY, "NoExecute"),
    (names.UNREACHABLE, "NoExecute"),
    (names.DISK_PRESSURE, "NoSchedule"),
    (names.MEMORY_PRESSURE, "NoSchedule"),
    (names.PID_PRESSURE, "NoSchedule"),
    (names.UNSCHEDULABLE, "NoSchedule"),
)


@dataclass(frozen=True)
class Plan:
    """`create`: node names; `delete`: pods; `failed`: those of them that failed, for an event each."""

    create: tuple[str, ...] = ()
    delete: tuple[Obj, ...] = ()
    failed: tuple[Obj, ...] = ()
    status: Obj = field(default_factory=dict)
    again_in: float | None = None


@dataclass(frozen=True)
class Fit:
    """Whether a node should get a pod, and whether one that is there may stay."""

    run: bool
    stay: bool


def target(pod: Obj) -> str:
    """The node a daemon pod is on or meant for."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for wanted in term.get("matchFields") or ():
            if wanted.get("key") == "metadata.name" and wanted.get("values"):
                return str(wanted["values"][0])
    return ""


def view(daemon_set: Obj) -> Pod:
    """The template as a pod of the scheduler's, with what every daemon pod tolerates."""
    template = daemon_set["spec"]["template"]
    meta = {**(template.get("metadata") or {}), "name": name(daemon_set), "namespace": "x"}
    pod = extract.pod({"metadata": meta, "spec": template["spec"]})
    tolerated = list(TOLERATED)
    if template["spec"].get("hostNetwork"):
        tolerated.append((names.NETWORK_UNAVAILABLE, "NoSchedule"))
    added = tuple(Toleration(key, "Exists", "", effect) for key, effect in tolerated)
    return replace(pod, tolerations=(*pod.tolerations, *added))


def fit(pod: Pod, node: Node) -> Fit:
    """Upstream's NodeShouldRunDaemonPod: a new NoSchedule taint keeps pods out but drives none away."""
    if (pod.node_name and pod.node_name != node.name) or not matches(pod, node):
        return Fit(False, False)
    if untolerated(pod, node.taints) is None:
        return Fit(True, True)
    return Fit(False, untolerated(pod, node.taints, ("NoExecute",)) is None)


def plan(daemon_set: Obj, pods: Sequence[Obj], nodes: Sequence[Obj], digest: str, now: datetime) -> Plan:
    """`digest`: the hash of the present template, as the pods' controller-revision-hash has it."""
    wanted = view(daemon_set)
    by_node: dict[str, list[Obj]] = {}
    for pod in pods:
        by_node.setdefault(target(pod), []).append(pod)
    fits = {name(node): fit(wanted, extract.node(node)) for node in nodes}
    create, delete, failed = [], [], []
    for node_name, verdict in fits.items():
        here = by_node.get(node_name, [])
        bad = [p for p in here if pod_status.phase(p) in pod_status.FINAL and not is_deleting(p)]
        good = [p for p in here if pod_status.phase(p) not in pod_status.FINAL and not is_deleting(p)]
        failed += bad
        delete += bad
        if verdict.run and not here:
            create.append(node_name)
        elif verdict.stay:
            # Of several the oldest stays.
            delete += sorted(good, key=lambda p: (p["metadata"].get("creationTimestamp") or "", name(p)))[1:]
        else:
            delete += good
    going = {uid(pod) for pod in delete}
    staying = {n: [p for p in by_node.get(n, []) if uid(p) not in going] for n in fits}
    if not create and (daemon_set["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
        delete += _outdated(daemon_set, staying, fits, digest, now)
    status, again = _status(daemon_set, by_node, fits, digest, now)
    return Plan(tuple(create), tuple(delete), tuple(failed), status, again)


def _outdated(
    daemon_set: Obj, staying: Mapping[str, Sequence[Obj]], fits: Mapping[str, Fit], digest: str, now: datetime
) -> list[Obj]:
    """Old pods to replace now: those that do not work at once, working ones as far as maxUnavailable lets."""
    desired = sum(verdict.run for verdict in fits.values())
    rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    limit = max(resolved(rolling.get("maxUnavailable", 1), desired, up=True), 1)
    broken: list[Obj] = []
    working: list[Obj] = []
    missing = 0
    for node_name, pods in staying.items():
        if not fits[node_name].run:
            continue
        alive = [p for p in pods if not is_deleting(p)]
        usable = [p for p in alive if _is_available(daemon_set, p, now)]
        missing += not usable
        for pod in alive:
            if labels(pod).get(REVISION_HASH) != digest:
                (working if pod in usable else broken).append(pod)
    return [*broken, *working[: max(limit - missing, 0)]]


def _is_available(daemon_set: Obj, pod: Obj, now: datetime) -> bool:
    return pod_status.available_in(pod, int(daemon_set["spec"].get("minReadySeconds") or 0), now) == 0


def _status(
    daemon_set: Obj, by_node: Mapping[str, Sequence[Obj]], fits: Mapping[str, Fit], digest: str, now: datetime
) -> tuple[Obj, float | None]:
    counts = dict.fromkeys(("current", "desired", "misplaced", "ready", "updated", "available"), 0)
    waits = []
    for node_name, verdict in fits.items():
        alive = [p for p in by_node.get(node_name, []) if not is_deleting(p)]
        if not verdict.run:
            counts["misplaced"] += bool(alive)
            continue
        counts["desired"] += 1
        counts["current"] += bool(alive)
        oldest = min(alive, key=lambda p: p["metadata"].get("creationTimestamp") or "", default=None)
        if oldest is None:
            continue
        wait = pod_status.available_in(oldest, int(daemon_set["spec"].get("minReadySeconds") or 0), now)
        counts["ready"] += wait is not None
        counts["available"] += wait == 0
        counts["updated"] += labels(oldest).get(REVISION_HASH) == digest
        if wait:
            waits.append(wait)
    status: Obj = {
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misplaced"],
        "desiredNumberScheduled": counts["desired"],
        "numberReady": counts["ready"],
        "observedGeneration": daemon_set["metadata"].get("generation") or 0,
    }
    optional = {
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
    }
    status.update({key: count for key, count in optional.items() if count})
    for key in ("collisionCount", "conditions"):
        if key in (daemon_set.get("status") or {}):
            status[key] = daemon_set["status"][key]
    return status, min(waits, default=None)


def pod_template(daemon_set: Obj, node_name: str, digest: str) -> Obj:
    """The template of the pod for one node, which the scheduler may put nowhere else."""
    template = copy(daemon_set["spec"]["template"])
    meta = template.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), REVISION_HASH: digest}
    generation = (daemon_set["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
    if generation:
        meta["labels"][TEMPLATE_GENERATION] = generation
    spec = template["spec"]
    tolerated = list(TOLERATED)
    if spec.get("hostNetwork"):
        tolerated.append((names.NETWORK_UNAVAILABLE, "NoSchedule"))
    present = spec.setdefault("tolerations", [])
    for key, effect in tolerated:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in present:
            present.append(toleration)
    only = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    node_affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = node_affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [only]} for term in terms]
    return template
