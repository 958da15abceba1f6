"""Which stage is next for a simulated pod or node, and the objects that say so. Pure: `now` is a text of the API's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apimachinery.objects import Obj, controller_of, is_deleting, labels
from lab.simulate.stages import NodeStage, PodStage, Stages

LABEL = "wherry.io/simulated"
TAINT = {"key": LABEL, "value": "true", "effect": "NoSchedule"}
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
# What an agent does about a pod that was declared unready because its node was silent.
RECOVERED = PodStage("Running", "Running")
PODS = "simulated"
"""name of the Deployment that fills the nodes"""
NAMESPACE = "default"


def node_name(number: int) -> str:
    """Of the so-manyth node, from 1 on."""
    return f"simulated-{number}"


def address(number: int) -> str:
    """Of the so-manyth pod: in a range that no machine sends to (RFC 1112, class E)."""
    return f"240.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}"


def node(number: int, stages: Stages, now: str) -> Obj:
    """A Node as its agent would register it: tainted, so that only pods come that mean to. It tells no address, so that
    no route leads to it."""
    room = {"cpu": stages.cpu, "memory": stages.memory, "pods": str(stages.max_pods)}
    marks = {
        LABEL: "true",
        HOST: node_name(number),
        ZONE: f"zone-{(number - 1) % stages.zones + 1}",
        "kubernetes.io/os": "linux",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node_name(number), "labels": marks},
        "spec": {"taints": [TAINT]},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready_condition(True, now)]},
    }


def ready_condition(ready: bool, now: str) -> Obj:
    """A node's Ready condition."""
    told = ("True", "KubeletReady", "simulated") if ready else ("False", "KubeletNotReady", "simulated trouble")
    stamps = dict.fromkeys(("lastHeartbeatTime", "lastTransitionTime"), now)
    return {"type": "Ready", "status": told[0], "reason": told[1], "message": told[2], **stamps}


def deployment(replicas: int) -> Obj:
    """Pods that fill the simulated nodes, and go nowhere else."""
    marks = {"app": PODS}
    toleration = {"key": LABEL, "operator": "Exists"}
    container = {"name": "c", "image": "simulated", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    spec = {"nodeSelector": {LABEL: "true"}, "tolerations": [toleration], "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": PODS, "namespace": NAMESPACE, "labels": {LABEL: "true"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": marks},
            "template": {"metadata": {"labels": marks}, "spec": spec},
        },
    }


def pod_stage(pod: Obj, stages: Sequence[PodStage]) -> PodStage | None:
    """The next stage of a pod, if any."""
    return next((stage for stage in (*stages, RECOVERED) if _fits(pod, stage)), None)


def _fits(pod: Obj, stage: PodStage) -> bool:
    status = pod.get("status") or {}
    # A finished pod that is to be deleted goes as a running one does.
    phase = status.get("phase") or "Pending"
    phase = "Running" if phase in ("Succeeded", "Failed") and is_deleting(pod) else phase
    if (phase, is_deleting(pod)) != (stage.phase, stage.deleting) or not _has(labels(pod), stage.labels):
        return False
    if stage.owner and (controller_of(pod) or {}).get("kind") != stage.owner:
        return False
    if stage.phase == stage.to == "Running" and is_ready(pod) == stage.ready:
        return False
    if stage is RECOVERED and not _is_true(pod, "ContainersReady"):
        return False
    return not (stage.unless_ready and is_ready(pod))


def is_ready(obj: Obj) -> bool:
    """Whether a pod's or a node's status says that it is Ready."""
    return _is_true(obj, "Ready")


def _is_true(obj: Obj, condition: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == condition and c.get("status") == "True" for c in conditions)


def node_stage(node: Obj, ready: bool, stages: Sequence[NodeStage]) -> NodeStage | None:
    """The next stage of a node, if any."""
    return next((s for s in stages if s.ready != ready and _has(labels(node), s.labels)), None)


def _has(marks: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(marks.get(key) == value for key, value in wanted.items())


def pod_status(pod: Obj, stage: PodStage, ip: str, now: str) -> Obj:
    """The patch of a pod's status that a stage asks for; `ip`: the pod's address, if it has none yet."""
    ready = stage.to == "Running" and stage.ready
    told = {"Initialized": True, "PodReadyToStartContainers": stage.to == "Running"}
    told |= {"Ready": ready, "ContainersReady": ready}
    conditions = [{"type": k, "status": str(v), "lastTransitionTime": now} for k, v in told.items()]
    before = pod.get("status") or {}
    started = before.get("startTime") or now
    found = before.get("podIP") or ip
    status: Obj = {
        "phase": stage.to,
        "startTime": started,
        "podIP": found,
        "podIPs": [{"ip": found}],
        "conditions": conditions,
        "containerStatuses": [
            _container(c, stage, ready, started, now) for c in (pod.get("spec") or {}).get("containers") or ()
        ],
    }
    if stage.reason:
        status["reason"] = stage.reason
    return {"status": status}


def _container(container: Obj, stage: PodStage, ready: bool, started: str, now: str) -> Obj:
    state: Obj = {"running": {"startedAt": started}}
    if stage.to != "Running":
        code, reason = (0, "Completed") if stage.to == "Succeeded" else (1, stage.reason or "Error")
        ended = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now}
        state = {"terminated": ended}
    image = container.get("image") or ""
    return {
        "name": container["name"],
        "image": image,
        "imageID": image,
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
    }
