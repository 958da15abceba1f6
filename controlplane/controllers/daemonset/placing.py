"""Which nodes a DaemonSet's pods belong on, and what the pod for one node looks like. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apimachinery.objects import Obj, copy, labels, name
from apimachinery.pods.placement import Toleration
from controlplane.controllers import names
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


def is_updated(daemon_set: Obj, pod: Obj, digest: str) -> bool:
    """Whether the pod is of the present template: by its hash, or by the generation that clients of old count."""
    generation = (daemon_set["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
    same = bool(generation) and labels(pod).get(TEMPLATE_GENERATION) == generation
    return same or labels(pod).get(REVISION_HASH) == digest
