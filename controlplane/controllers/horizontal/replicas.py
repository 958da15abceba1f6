"""From what pods use to how many there should be. Pure; amounts are thousandths, as upstream counts.

Source: "Horizontal Pod Autoscaling" in the Kubernetes documentation, its algorithm details.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apimachinery.objects import Obj, condition, is_deleting, name
from apimachinery.quantity import parse
from apimachinery.timestamps import parse_time
from controlplane.controllers import pod_status

CPU_INITIALIZATION, INITIAL_READINESS = timedelta(minutes=5), timedelta(seconds=30)
LARGEST = 2**31 - 1


class Unknown(Exception):
    """The number cannot be told; the text is the user's."""


@dataclass(frozen=True)
class Metric:
    """What a pod uses, and over which time up to `moment` that was seen."""

    value: int
    moment: datetime | None = None
    window: timedelta = timedelta(minutes=1)


@dataclass(frozen=True)
class Tolerance:
    """Shares by which a metric may be above or below its target without a change."""

    up: float = 0.1
    down: float = 0.1

    def holds(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True)
class Proposal:
    """`replicas` there should be; `average` a pod uses, and `utilization` as percent of what it requests."""

    replicas: int
    average: int = 0
    utilization: int | None = None
    value: int | None = None


@dataclass(frozen=True)
class Groups:
    """Names of pods: those that count, those that are not ready, those without a metric."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    used: Mapping[str, int]


def grouped(pods: Sequence[Obj], metrics: Mapping[str, Metric], cpu: bool, now: datetime) -> Groups:
    """`cpu`: the metric is one that is high while a pod starts."""
    ready, unready, missing, used = 0, set(), set(), {}
    for pod in pods:
        phase = pod_status.phase(pod)
        if is_deleting(pod) or phase == "Failed":
            continue
        metric = metrics.get(name(pod))
        if phase == "Pending":
            unready.add(name(pod))
        elif metric is None:
            missing.add(name(pod))
        elif cpu and _is_starting(pod, metric, now):
            unready.add(name(pod))
        else:
            ready += 1
            used[name(pod)] = metric.value
    return Groups(ready, frozenset(unready), frozenset(missing), used)


def _is_starting(pod: Obj, metric: Metric, now: datetime) -> bool:
    ready, started = condition(pod, "Ready"), (pod.get("status") or {}).get("startTime")
    if ready is None or not started:
        return True
    begun, changed = parse_time(started), parse_time(ready["lastTransitionTime"])
    down = ready.get("status") == "False"
    if begun + CPU_INITIALIZATION > now:
        return down or (metric.moment is not None and metric.moment < changed + metric.window)
    # Ready never since: what came and went later is no start.
    return down and begun + INITIAL_READINESS > changed


def requests(pods: Sequence[Obj], resource: str, container: str) -> dict[str, int]:
    """What each pod (or its container) requests. Raises Unknown for one that does not say."""
    found = {}
    for pod in pods:
        spec = pod["spec"]
        if not container and ((spec.get("resources") or {}).get("requests") or {}).get(resource):
            found[name(pod)] = parse(spec["resources"]["requests"][resource]).milli()
            continue
        sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
        total = 0
        for each in (*spec["containers"], *sidecars):
            if container and each["name"] != container:
                continue
            asked = ((each.get("resources") or {}).get("requests") or {}).get(resource)
            if asked is None:
                raise Unknown(f"missing request for {resource} in container {each['name']} of Pod {name(pod)}")
            total += parse(asked).milli()
        found[name(pod)] = total
    return found


def by_utilization(
    current: int, target: int, groups: Groups, asked: Mapping[str, int], tolerance: Tolerance
) -> Proposal:
    """`target` is percent of what pods request. Raises Unknown."""

    def ratio(used: Mapping[str, int]) -> tuple[float, int]:
        total = sum(asked[which] for which in used if which in asked)
        if total == 0:
            raise Unknown("no metrics returned matched known pods")
        share = sum(used[which] for which in used if which in asked) * 100 // total
        return share / target, share

    def missing(which: str) -> int:
        return asked[which] * max(100, target) // 100

    _some(groups)
    first, share = ratio(groups.used)
    number = _number(current, groups, first, lambda used: ratio(used)[0], missing, tolerance)
    return Proposal(number, sum(groups.used.values()) // len(groups.used), share)


def by_average(current: int, target: int, groups: Groups, tolerance: Tolerance) -> Proposal:
    """`target` is what a pod should use on average. Raises Unknown."""

    def ratio(used: Mapping[str, int]) -> float:
        return sum(used.values()) // len(used) / target

    _some(groups)
    number = _number(current, groups, ratio(groups.used), ratio, lambda _which: target, tolerance)
    return Proposal(number, sum(groups.used.values()) // len(groups.used))


def _some(groups: Groups) -> None:
    if not groups.used:
        raise Unknown("did not receive metrics for targeted pods (pods might be unready)")


def _number(
    current: int,
    groups: Groups,
    first: float,
    ratio: Callable[[Mapping[str, int]], float],
    missing: Callable[[str], int],
    tolerance: Tolerance,
) -> int:
    """Pods that say nothing are taken for what makes the change smaller; a change of direction is none."""
    growing = bool(groups.unready) and first > 1.0
    if not growing and not groups.missing:
        return current if tolerance.holds(first) else math.ceil(first * groups.ready)
    used = dict(groups.used)
    if first != 1.0:
        used |= {which: missing(which) if first < 1.0 else 0 for which in groups.missing}
    if growing:
        used |= dict.fromkeys(groups.unready, 0)
    second = ratio(used)
    if tolerance.holds(second) or (first < 1.0 < second) or (second < 1.0 < first):
        return current
    number = math.ceil(second * len(used))
    turned = (second < 1.0 and number > current) or (second > 1.0 and number < current)
    return current if turned else number


def by_value(current: int, target: int, value: int, ready: int, tolerance: Tolerance) -> Proposal:
    """One value for all pods together, be they none."""
    ratio = value / target
    if current == 0:
        return Proposal(min(math.ceil(ratio), LARGEST), value=value)
    if tolerance.holds(ratio):
        return Proposal(current, value=value)
    return Proposal(min(math.ceil(ratio * ready), LARGEST), value=value)


def by_share(current: int, target: int, value: int, tolerance: Tolerance) -> Proposal:
    """One value that is to be shared evenly; `target` is a pod's part."""
    number = current
    if current == 0 or not tolerance.holds(value / (target * current)):
        number = min(math.ceil(value / target), LARGEST)
    return Proposal(number, average=math.ceil(value / current) if current else 0)


def ready_count(pods: Sequence[Obj]) -> int:
    """Pods that run and are ready."""
    return sum(1 for pod in pods if pod_status.phase(pod) == "Running" and pod_status.is_ready(pod))
