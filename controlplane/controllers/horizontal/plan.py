"""One look at an autoscaler: what was measured into a size and a status. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from apimachinery.conditions import dated, placed
from apimachinery.objects import Obj
from apimachinery.quantity import parse
from apimachinery.timestamps import format_time
from controlplane.controllers.horizontal import replicas
from controlplane.controllers.horizontal.behavior import Bounds, History, limited
from controlplane.controllers.horizontal.replicas import Metric, Proposal, Tolerance, Unknown
from controlplane.controllers.notes import Note

SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


@dataclass(frozen=True)
class Measured:
    """What a source said of one metric: by pod, or one value (thousandths); or why it said nothing."""

    pods: Mapping[str, Metric] = field(default_factory=dict)
    value: int = 0
    failure: str = ""


@dataclass(frozen=True)
class Unpicked:
    """Why it is not known which pods are the target's: the condition's reason and message, and an event's where they
    are others.
    """

    reason: str
    message: str
    event_reason: str = ""
    event: str = ""

    def notes(self) -> tuple[Note, ...]:
        text = self.event or self.message
        told = (self.event_reason or self.reason, "FailedComputeMetricsReplicas")
        return tuple(Note("Warning", reason, text) for reason in told)


@dataclass(frozen=True)
class Look:
    """`size` is what the target's /scale asks for, `present` what it has; `pods`: those its selector picks, and
    `unpicked` where it picks none that count: nothing is measured then.
    """

    size: int
    present: int
    pods: Sequence[Obj]
    measured: Sequence[Measured]
    history: History = field(default_factory=History)
    unpicked: Unpicked | None = None


@dataclass(frozen=True)
class Decision:
    """`size` to be written, None to leave it; `notes` are events."""

    status: Obj
    size: int | None = None
    reason: str = ""
    history: History = field(default_factory=History)
    notes: tuple[Note, ...] = ()


def source_of(spec: Obj) -> Obj:
    """The body of a metric of an autoscaler."""
    found: Obj = spec.get(SOURCES[spec["type"]]) or {}
    return found


def plan(hpa: Obj, look: Look, now: datetime) -> Decision:
    """What is to be done. The target's scale could be read."""
    spec = hpa["spec"]
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    status = conditioned(
        {**(hpa.get("status") or {}), "currentReplicas": look.size},
        ("AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale"),
        now,
    )
    history = look.history.trimmed(now)
    if look.size == 0 and spec.get("minReplicas") != 0:
        text = "scaling is disabled since the replica count of the target is zero"
        status = conditioned(status, ("ScalingActive", "False", "ScalingDisabled", text), now)
        return Decision({**status, "desiredReplicas": 0}, history=history)
    if look.size > most:
        return _resized(hpa, status, look, most, "Current number of replicas above Spec.MaxReplicas", history, now)
    if look.size < least:
        return _resized(hpa, status, look, least, "Current number of replicas below Spec.MinReplicas", history, now)
    if look.unpicked is not None:
        status = conditioned(status, ("ScalingActive", "False", look.unpicked.reason, look.unpicked.message), now)
        status.pop("currentMetrics", None)
        return Decision(_as_it_was(status), history=history, notes=look.unpicked.notes())
    return _measured(hpa, status, look, Bounds(least, most, spec.get("behavior") or {}), history, now)


def _measured(hpa: Obj, status: Obj, look: Look, bounds: Bounds, history: History, now: datetime) -> Decision:
    """Within its bounds the metrics decide."""
    wanted, name, failures, statuses = -1, "", [], []
    specs = hpa["spec"].get("metrics") or ()
    for spec, found in zip(specs, look.measured, strict=True):
        try:
            proposal = propose(spec, found, look, _tolerance(bounds.behavior), now)
        except Unknown as error:
            failures.append((spec, str(error)))
            continue
        statuses.append(_metric_status(spec, proposal))
        if proposal.replicas > wanted:
            wanted, name = proposal.replicas, described(spec)
    notes = [Note("Warning", _failed(spec), why) for spec, why in failures]
    status = {**status, "currentMetrics": statuses}
    if failures and (len(failures) == len(specs) or wanted < look.size):
        # What is known of some metrics alone must not shrink anything.
        spec, why = failures[0]
        text = f"the HPA was unable to compute the replica count: {why}"
        status = conditioned(status, ("ScalingActive", "False", _failed(spec), text), now)
        first = f"failed to get {_titled(spec)}metric value: {why}"
        told = f"invalid metrics ({len(failures)} invalid out of {len(specs)}), first error is: {first}"
        notes.append(Note("Warning", "FailedComputeMetricsReplicas", told))
        return Decision(_as_it_was(status), history=history, notes=tuple(notes))
    text = f"the HPA was able to successfully calculate a replica count from {name}"
    status = conditioned(status, ("ScalingActive", "True", "ValidMetricFound", text), now)
    size = limited(look.size, wanted, bounds, history, now)
    status = conditioned(status, ("AbleToScale", "True", *size.able), now)
    is_limited, reason, why = size.limited
    status = conditioned(status, ("ScalingLimited", "True" if is_limited else "False", reason, why), now)
    history = replace(history, recommended=(*history.recommended, (now, wanted)))
    if size.replicas == look.size:
        return Decision({**status, "desiredReplicas": look.size}, history=history, notes=tuple(notes))
    why = f"{name} above target" if size.replicas > look.size else "All metrics below target"
    return _resized(hpa, status, look, size.replicas, why, history, now, tuple(notes))


def _resized(
    hpa: Obj,
    status: Obj,
    look: Look,
    size: int,
    reason: str,
    history: History,
    now: datetime,
    notes: tuple[Note, ...] = (),
) -> Decision:
    change = size - look.size
    if change > 0:
        history = replace(history, up=(*history.up, (now, change)))
    else:
        history = replace(history, down=(*history.down, (now, -change)))
    text = f"the HPA controller was able to update the target scale to {size}"
    status = conditioned(status, ("AbleToScale", "True", "SucceededRescale", text), now)
    status = {**status, "desiredReplicas": size, "lastScaleTime": format_time(now)}
    note = Note("Normal", "SuccessfulRescale", f"New size: {size}; reason: {reason}")
    return Decision(status, size, reason, history, (*notes, note))


def failed(hpa: Obj, reason: str, message: str, now: datetime) -> Obj:
    """The status of one whose target's scale cannot be read or written."""
    return conditioned(hpa.get("status") or {}, ("AbleToScale", "False", reason, message), now)


def _as_it_was(status: Obj) -> Obj:
    """Who cannot compute a size wants what it wanted."""
    return {**status, "desiredReplicas": status.get("desiredReplicas") or 0}


def propose(spec: Obj, found: Measured, look: Look, tolerance: Tolerance, now: datetime) -> Proposal:
    """How many replicas one metric asks for. Raises Unknown."""
    if found.failure:
        raise Unknown(found.failure)
    kind, source = spec["type"], source_of(spec)
    target = source["target"]
    average = parse(target["averageValue"]).milli() if target.get("averageValue") is not None else None
    if kind in ("Object", "External"):
        if average is not None:
            return replicas.by_share(look.present, average, found.value, tolerance)
        wanted = parse(target["value"]).milli()
        return replicas.by_value(look.size, wanted, found.value, replicas.ready_count(look.pods), tolerance)
    if not look.pods:
        raise Unknown("no pods returned by selector while calculating replica count")
    groups = replicas.grouped(look.pods, found.pods, source.get("name") == "cpu", now)
    if average is not None:
        return replicas.by_average(look.size, average, groups, tolerance)
    asked = replicas.requests(look.pods, source["name"], source.get("container") or "")
    return replicas.by_utilization(look.size, int(target["averageUtilization"]), groups, asked, tolerance)


def _tolerance(behavior: Obj) -> Tolerance:
    up, down = ((behavior.get(way) or {}).get("tolerance") for way in ("scaleUp", "scaleDown"))
    usual = Tolerance()
    return Tolerance(
        parse(up).nanos / 1e9 if up is not None else usual.up,
        parse(down).nanos / 1e9 if down is not None else usual.down,
    )


def described(spec: Obj) -> str:
    """A metric in the words of conditions and events."""
    kind, source = spec["type"], source_of(spec)
    if kind in ("Resource", "ContainerResource"):
        if source["target"].get("averageValue") is not None:
            return f"{source['name']} resource"
        of = "container resource" if kind == "ContainerResource" else "resource"
        return f"{source['name']} {of} utilization (percentage of request)"
    if kind == "Pods":
        return f"pods metric {source['metric']['name']}"
    if kind == "Object":
        about = source["describedObject"]
        return f"{about['kind']} metric {source['metric']['name']}"
    return f"external metric {source['metric']['name']}({source['metric'].get('selector') or 'nil'})"


def _failed(spec: Obj) -> str:
    return f"FailedGet{spec['type']}Metric"


def _titled(spec: Obj) -> str:
    kind, source = spec["type"], source_of(spec)
    resource, container = f"{source.get('name')} resource ", f"{source.get('container')} container "
    titles = {"Resource": resource, "ContainerResource": container}
    external = f"{(source.get('metric') or {}).get('name')} external "
    return titles.get(kind) or {"Pods": "pods ", "Object": "object ", "External": external}[kind]


def _metric_status(spec: Obj, proposal: Proposal) -> Obj:
    kind, source = spec["type"], source_of(spec)
    current: Obj = {}
    if proposal.value is not None:
        current["value"] = _quantity(proposal.value)
    else:
        current["averageValue"] = _quantity(proposal.average)
    if proposal.utilization is not None:
        current["averageUtilization"] = proposal.utilization
    kept = {part: source[part] for part in ("name", "container", "metric", "describedObject") if part in source}
    return {"type": kind, SOURCES[kind]: {**kept, "current": current}}


def _quantity(milli: int) -> str:
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def conditioned(status: Obj, told: tuple[str, str, str, str], now: datetime) -> Obj:
    """The status with a condition (type, status, reason, message), dated where its status changed."""
    kind, value, reason, message = told
    listed = status.get("conditions") or ()
    fresh = {"type": kind, "status": value, "reason": reason, "message": message}
    return {**status, "conditions": placed(listed, dated(listed, fresh, format_time(now)))}
