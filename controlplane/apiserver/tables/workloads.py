"""Tables of the kinds that make pods: apps, batch, autoscaling and their older relatives."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.objects import Obj, condition_holds
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, CONTAINERS, IMAGES, NAME, Table, flag, number, text, wide


def _template(obj: Obj) -> Obj:
    return ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        texts.name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        texts.age(obj, now),
        *texts.template_cells(_template(obj)),
        texts.selector(spec.get("selector")),
    ]


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    picked = spec.get("selector")
    return [
        texts.name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        texts.age(obj, now),
        *texts.template_cells(_template(obj)),
        texts.labels(picked) if obj.get("kind") == "ReplicationController" else texts.selector_or_none(picked),
    ]


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    ready = (obj.get("status") or {}).get("readyReplicas", 0)
    return [
        texts.name(obj),
        f"{ready}/{obj['spec'].get('replicas', 0)}",
        texts.age(obj, now),
        *texts.template_cells(_template(obj)),
    ]


def _daemon_set(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    return [
        texts.name(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        texts.labels(_template(obj).get("nodeSelector")),
        texts.age(obj, now),
        *texts.template_cells(_template(obj)),
        texts.selector_or_none(obj["spec"].get("selector")),
    ]


def _revision(obj: Obj, now: datetime) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences") or ()
    owner = next((o for o in owners if o.get("controller")), None)
    controller = texts.NONE
    if owner:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        controller = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [texts.name(obj), controller, obj.get("revision", 0), texts.age(obj, now)]


JOB_STATES = ("Complete", "Failed", "", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job_status(obj: Obj) -> str:
    for state in JOB_STATES:
        if not state:
            if obj["metadata"].get("deletionTimestamp"):
                return "Terminating"
        elif condition_holds(obj, state):
            return state
    return "Running"


def _job(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    done, parallel = status.get("succeeded", 0), spec.get("parallelism", 0)
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    start, end = status.get("startTime"), status.get("completionTime")
    duration = "" if not start else texts.between(start, end) if end else texts.since(start, now)
    return [
        texts.name(obj),
        _job_status(obj),
        completions,
        duration,
        texts.age(obj, now),
        *texts.template_cells(_template(obj)),
        texts.selector_or_none(spec.get("selector")),
    ]


def _cron_job(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        texts.name(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or texts.NONE,
        texts.bool_text(spec.get("suspend")),
        len(status.get("active") or ()),
        texts.since(last, now) if last else texts.NONE,
        texts.age(obj, now),
        *texts.template_cells((job.get("template") or {}).get("spec")),
        texts.selector_or_none(job.get("selector")),
    ]


def _pod_template(obj: Obj, now: datetime) -> list[Any]:
    template = obj.get("template") or {}
    found = texts.labels((template.get("metadata") or {}).get("labels"))
    return [texts.name(obj), *texts.template_cells(template.get("spec")), found]


METRIC_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _metric(wanted: Obj, seen: Obj) -> str:
    """One metric of a HorizontalPodAutoscaler: "cpu: 40%/80%", "<unknown>/10 (avg)"."""
    source = METRIC_SOURCES.get(wanted.get("type", ""), "")
    target = (wanted.get(source) or {}).get("target") or {}
    told = seen.get(source)
    current = (told or {}).get("current") or {}
    # What its status tells in another unit, upstream shows as Go does.
    unread = texts.UNKNOWN if told is None else "<nil>"
    named, apart = source in ("resource", "containerResource"), source in ("object", "external")
    prefix = f"{(wanted.get(source) or {}).get('name', '')}: " if named else ""
    if target.get("averageValue") is not None:
        used = current.get("averageValue") or (texts.UNKNOWN if apart else unread)
        return f"{prefix}{used}/{target['averageValue']}{' (avg)' if apart else ''}"
    if named:
        used, goal = current.get("averageUtilization"), target.get("averageUtilization")
        shown = texts.UNKNOWN if used is None else f"{used}%"
        return f"{prefix}{shown}/{'<auto>' if goal is None else f'{goal}%'}"
    return f"{current.get('value') or unread}/{target.get('value', '')}"


def _metrics(obj: Obj) -> list[str]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    wanted, seen = spec.get("metrics") or [], status.get("currentMetrics") or []
    return [_metric(w, seen[i] if i < len(seen) else {}) for i, w in enumerate(wanted)]


def _autoscaler(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    reference, least = spec.get("scaleTargetRef") or {}, spec.get("minReplicas")
    metrics = _metrics(obj)
    return [
        texts.name(obj),
        f"{reference.get('kind', '')}/{reference.get('name', '')}",
        texts.shortened(metrics, limit=2, separator=", ") if metrics else texts.NONE,
        texts.UNSET if least is None else str(least),
        spec.get("maxReplicas", 0),
        (obj.get("status") or {}).get("currentReplicas", 0),
        texts.age(obj, now),
    ]


def _scale(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [texts.name(obj), spec.get("replicas", 0), status.get("replicas", 0), texts.age(obj, now)]


SCALE = Table(
    columns=(
        text("Name", "meta.v1.ObjectMeta#name"),
        number("Desired", "autoscaling.v1.ScaleSpec#replicas"),
        number("Available", "autoscaling.v1.ScaleStatus#replicas"),
        AGE,
    ),
    cells=_scale,
)
DEPLOYMENT = Table(
    columns=(
        NAME,
        text("Ready", "Number of the pod with ready state"),
        text("Up-to-date", "apps.v1.DeploymentStatus#updatedReplicas"),
        text("Available", "apps.v1.DeploymentStatus#availableReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "apps.v1.DeploymentSpec#selector"),
    ),
    cells=_deployment,
)
REPLICA_SET = Table(
    columns=(
        NAME,
        number("Desired", "apps.v1.ReplicaSetSpec#replicas"),
        number("Current", "apps.v1.ReplicaSetStatus#replicas"),
        number("Ready", "apps.v1.ReplicaSetStatus#readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "apps.v1.ReplicaSetSpec#selector"),
    ),
    cells=_replica_set,
)
REPLICATION_CONTROLLER = Table(
    columns=(
        NAME,
        number("Desired", "core.v1.ReplicationControllerSpec#replicas"),
        number("Current", "core.v1.ReplicationControllerStatus#replicas"),
        number("Ready", "core.v1.ReplicationControllerStatus#readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "core.v1.ReplicationControllerSpec#selector"),
    ),
    cells=_replica_set,
)
STATEFUL_SET = Table(
    columns=(
        NAME,
        text("Ready", "Number of the pod with ready state"),
        AGE,
        CONTAINERS,
        IMAGES,
    ),
    cells=_stateful_set,
)
DAEMON_SET = Table(
    columns=(
        NAME,
        number("Desired", "apps.v1.DaemonSetStatus#desiredNumberScheduled"),
        number("Current", "apps.v1.DaemonSetStatus#currentNumberScheduled"),
        number("Ready", "apps.v1.DaemonSetStatus#numberReady"),
        number("Up-to-date", "apps.v1.DaemonSetStatus#updatedNumberScheduled"),
        number("Available", "apps.v1.DaemonSetStatus#numberAvailable"),
        text("Node Selector", "core.v1.PodSpec#nodeSelector"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "apps.v1.DaemonSetSpec#selector"),
    ),
    cells=_daemon_set,
)
CONTROLLER_REVISION = Table(
    columns=(
        NAME,
        text("Controller", "Controller of the object"),
        text("Revision", "apps.v1.ControllerRevision#revision"),
        AGE,
    ),
    cells=_revision,
)
JOB = Table(
    columns=(
        NAME,
        text("Status", "Status of the job."),
        text("Completions", "batch.v1.JobStatus#succeeded"),
        text("Duration", "Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "batch.v1.JobSpec#selector"),
    ),
    cells=_job,
)
CRON_JOB = Table(
    columns=(
        NAME,
        text("Schedule", "batch.v1.CronJobSpec#schedule"),
        text("Timezone", "batch.v1.CronJobSpec#timeZone"),
        flag("Suspend", "batch.v1.CronJobSpec#suspend"),
        number("Active", "batch.v1.CronJobStatus#active"),
        text("Last Schedule", "batch.v1.CronJobStatus#lastScheduleTime"),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "batch.v1.JobSpec#selector"),
    ),
    cells=_cron_job,
)
POD_TEMPLATE = Table(
    columns=(
        NAME,
        text("Containers", "Names of each container in the template."),
        text("Images", "Images referenced by each container in the template."),
        text("Pod Labels", "The labels for the pod template."),
    ),
    cells=_pod_template,
)
HORIZONTAL_POD_AUTOSCALER = Table(
    columns=(
        NAME,
        text("Reference", "autoscaling.v2.HorizontalPodAutoscalerSpec#scaleTargetRef"),
        text("Targets", "autoscaling.v2.HorizontalPodAutoscalerSpec#metrics"),
        text("MinPods", "autoscaling.v1.HorizontalPodAutoscalerSpec#minReplicas"),
        text("MaxPods", "autoscaling.v2.HorizontalPodAutoscalerSpec#maxReplicas"),
        text("Replicas", "autoscaling.v2.HorizontalPodAutoscalerStatus#currentReplicas"),
        AGE,
    ),
    cells=_autoscaler,
)
