"""Where pods are missing, where they are too many or outdated, and what the status says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from apimachinery.objects import Obj, is_deleting, name, uid
from controlplane.controllers import pod_status
from controlplane.controllers.daemonset import rolling
from controlplane.controllers.daemonset.placing import Fit, fit, is_updated, target, view
from controlplane.controllers.daemonset.rolling import Here
from controlplane.scheduler import extract

# A failed pod's node by the seconds for which the next that fails there is left alone.
Holds = Mapping[str, float]
NO_HOLDS: Holds = MappingProxyType({})


@dataclass(frozen=True)
class Plan:
    """`create`: node names; `delete`: pods; `ended`: those of them that ended by themselves, for an event each."""

    create: tuple[str, ...] = ()
    delete: tuple[Obj, ...] = ()
    ended: tuple[Obj, ...] = ()
    status: Obj = field(default_factory=dict)
    again_in: float | None = None


@dataclass
class _Round:
    """One look at all nodes, as it goes."""

    daemon_set: Obj
    digest: str
    now: datetime
    surges: bool
    create: list[str] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    ended: list[Obj] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def available(self, pod: Obj) -> bool:
        return pod_status.available_in(pod, int(self.daemon_set["spec"].get("minReadySeconds") or 0), self.now) == 0

    def look(self, node: str, verdict: Fit, pods: Sequence[Obj], hold: float) -> None:
        """One node: pods that should be there and are not, and those that should not be."""
        alive = [pod for pod in pods if not is_deleting(pod)]
        running = [pod for pod in alive if pod_status.phase(pod) not in pod_status.FINAL]
        if verdict.run and not pods:
            self.create.append(node)
        elif not verdict.stay:
            self.delete += alive
        else:
            self._end([pod for pod in alive if pod not in running], hold)
            if self.surges and verdict.run and not running:
                self.create.append(node)
            self.delete += self._surplus(sorted(running, key=_age))

    def _end(self, ended: Sequence[Obj], hold: float) -> None:
        """Pods that ended; where they fail again and again they stay for a while, or kubelet and we would run hot."""
        for pod in ended:
            if pod_status.phase(pod) == "Failed" and hold > 0:
                self.waits.append(hold)
            else:
                self.ended.append(pod)
                self.delete.append(pod)

    def _surplus(self, running: Sequence[Obj]) -> list[Obj]:
        """Of several the oldest stays; with a surge the oldest of each template, until the old one is of no use."""
        if not self.surges:
            return list(running[1:])
        new = [pod for pod in running if is_updated(self.daemon_set, pod, self.digest)]
        old = [pod for pod in running if pod not in new]
        surplus = [*new[1:], *old[1:]]
        if new and old and (not pod_status.is_ready(old[0]) or self.available(new[0])):
            surplus.append(old[0])
        return surplus


def plan(
    daemon_set: Obj, pods: Sequence[Obj], nodes: Sequence[Obj], digest: str, now: datetime, holds: Holds = NO_HOLDS
) -> Plan:
    """`digest`: the hash of the present template, as the pods' controller-revision-hash has it."""
    wanted = view(daemon_set)
    by_node: dict[str, list[Obj]] = {}
    for pod in pods:
        # One that ended and is going is the node's business alone.
        if not (is_deleting(pod) and pod_status.phase(pod) in pod_status.FINAL):
            by_node.setdefault(target(pod), []).append(pod)
    fits = {name(node): fit(wanted, extract.node(node)) for node in nodes}
    desired = sum(verdict.run for verdict in fits.values())
    turn = _Round(daemon_set, digest, now, rolling.surge(daemon_set, desired) > 0)
    for node, verdict in fits.items():
        turn.look(node, verdict, by_node.get(node, ()), holds.get(node, 0.0))
    turn.delete += _nowhere(by_node, fits)
    if not turn.create:
        step = rolling.step(daemon_set, _staying(turn, by_node, fits), turn.available)
        turn.create += step.create
        turn.delete += step.delete
    status, again = _status(daemon_set, by_node, fits, turn)
    waits = [*turn.waits, *([again] if again else [])]
    return Plan(tuple(turn.create), tuple(turn.delete), tuple(turn.ended), status, min(waits, default=None))


def _nowhere(by_node: Mapping[str, Sequence[Obj]], fits: Mapping[str, Fit]) -> list[Obj]:
    """Pods that wait for a node that is gone."""
    meant = [pod for node, pods in by_node.items() if node not in fits for pod in pods]
    return [pod for pod in meant if not (pod.get("spec") or {}).get("nodeName") and not is_deleting(pod)]


def _staying(turn: _Round, by_node: Mapping[str, Sequence[Obj]], fits: Mapping[str, Fit]) -> dict[str, Here]:
    going = {uid(pod) for pod in turn.delete}
    result = {}
    for node, verdict in fits.items():
        alive = [pod for pod in by_node.get(node, ()) if uid(pod) not in going and not is_deleting(pod)]
        new = tuple(pod for pod in alive if is_updated(turn.daemon_set, pod, turn.digest))
        result[node] = Here(verdict.run, new, tuple(pod for pod in alive if pod not in new))
    return result


def _age(pod: Obj) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp") or "", name(pod)


def _status(
    daemon_set: Obj, by_node: Mapping[str, Sequence[Obj]], fits: Mapping[str, Fit], turn: _Round
) -> tuple[Obj, float | None]:
    """Each node counts by its oldest pod, one that is going included, as upstream counts."""
    counts = dict.fromkeys(("current", "desired", "misplaced", "ready", "updated", "available"), 0)
    waits = []
    for node, verdict in fits.items():
        here = sorted(by_node.get(node, ()), key=_age)
        if not verdict.run:
            counts["misplaced"] += bool(here)
            continue
        counts["desired"] += 1
        counts["current"] += bool(here)
        if not here:
            continue
        wait = pod_status.available_in(here[0], int(daemon_set["spec"].get("minReadySeconds") or 0), turn.now)
        counts["ready"] += wait is not None
        counts["available"] += wait == 0
        counts["updated"] += is_updated(daemon_set, here[0], turn.digest)
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
