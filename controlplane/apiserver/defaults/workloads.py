"""Defaults of apps, batch, autoscaling and policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.objects import Obj

LITERALS: dict[str, dict[str, Any]] = {
    "apps.v1.DeploymentSpec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
    "apps.v1.ReplicaSetSpec": {"replicas": 1},
    "apps.v1.StatefulSetSpec": {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    },
    "apps.v1.DaemonSetSpec": {"revisionHistoryLimit": 10},
    "batch.v1.CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": {"status": "True"},
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "autoscaling.v1.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
}


def _rolling(strategy: Obj, values: Obj) -> None:
    if strategy.get("type", "RollingUpdate") == "RollingUpdate":
        strategy["type"] = "RollingUpdate"
        rolling = strategy.setdefault("rollingUpdate", {})
        for field, value in values.items():
            rolling.setdefault(field, value)


def _deployment(spec: Obj) -> None:
    _rolling(spec["strategy"], {"maxUnavailable": "25%", "maxSurge": "25%"})


def _stateful_set(spec: Obj) -> None:
    strategy = spec["updateStrategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    # Who names the type alone gets no more than that.
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
    _claims(spec)


def _daemon_set(spec: Obj) -> None:
    strategy = spec["updateStrategy"]
    _rolling(strategy, {"maxUnavailable": 1, "maxSurge": 0})
    # Upstream's own type tells no zero from nothing here.
    for field in ("maxUnavailable", "maxSurge") if strategy.get("rollingUpdate") is not None else ():
        strategy["rollingUpdate"].setdefault(field, 0)


def _job(spec: Obj) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    if "backoffLimit" not in spec:
        spec["backoffLimit"] = 2147483647 if "backoffLimitPerIndex" in spec else 6
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    if "podReplacementPolicy" not in spec:
        spec["podReplacementPolicy"] = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"


def _job_object(job: Obj) -> None:
    _job(job["spec"])
    labels = ((job["spec"].get("template") or {}).get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        # Shared: the labels that the server adds to the template are the Job's as well.
        job["metadata"]["labels"] = labels


def _autoscaler(spec: Obj) -> None:
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is None:
        return
    up = behavior.setdefault("scaleUp", {})
    down = behavior.setdefault("scaleDown", {})
    up.setdefault("stabilizationWindowSeconds", 0)
    for rules, policies in (
        (up, [_policy("Pods", 4, 15), _policy("Percent", 100, 15)]),
        (down, [_policy("Percent", 100, 15)]),
    ):
        rules.setdefault("selectPolicy", "Max")
        rules.setdefault("policies", policies)


def _policy(kind: str, value: int, seconds: int) -> Obj:
    return {"type": kind, "value": value, "periodSeconds": seconds}


def _daemon_set_object(daemon_set: Obj) -> None:
    """The template's generation, in an annotation since its field is gone; the server counts it."""
    annotations = daemon_set["metadata"].setdefault("annotations", {})
    annotations.setdefault("deprecated.daemonset.template.generation", "0")


def _claims(spec: Obj) -> None:
    """What kind of object a claim's template is, nobody can say otherwise."""
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.update(kind="PersistentVolumeClaim", apiVersion="v1")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


HOOKS: dict[str, Callable[[Obj], None]] = {
    "apps.v1.DeploymentSpec": _deployment,
    "apps.v1.StatefulSetSpec": _stateful_set,
    "apps.v1.DaemonSetSpec": _daemon_set,
    "apps.v1.DaemonSet": _daemon_set_object,
    "batch.v1.Job": _job_object,
    "autoscaling.v2.HorizontalPodAutoscalerSpec": _autoscaler,
}
