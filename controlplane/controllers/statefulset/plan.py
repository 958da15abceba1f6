"""What happens next to the pods and claims of a StatefulSet. Pure: upstream's updateStatefulSet as values.

Ordinals are looked at from the first to the last; with OrderedReady the first one that is not as it should be ends the
pass, with Parallel each is put right at once. What is beyond the range goes next, the highest first. Only then are pods
of another revision replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apimachinery.objects import Obj, is_deleting, labels, name
from controlplane.controllers import pod_status
from controlplane.controllers.shares import resolved
from controlplane.controllers.statefulset import identity, retention, status
from controlplane.controllers.statefulset.revisions import History


@dataclass(frozen=True)
class Birth:
    """A pod to create after the claims it needs."""

    pod: Obj
    claims: tuple[Obj, ...]


@dataclass(frozen=True)
class Plan:
    """Writes in their order. `claims`: missing claims of pods that are pending; `owned`: claims with other owners;
    `repair`: pods with other labels or volumes; `conflicts`: names of claims that somebody else controls;
    `waiting`: why a pod cannot be created yet; `again_in`: seconds until time alone changes something.
    """

    create: tuple[Birth, ...] = ()
    claims: tuple[Birth, ...] = ()
    owned: tuple[Obj, ...] = ()
    repair: tuple[Obj, ...] = ()
    delete: tuple[Obj, ...] = ()
    conflicts: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    status: Obj = field(default_factory=dict)
    again_in: float | None = None


def plan(stateful_set: Obj, pods: Sequence[Obj], claims: Mapping[str, Obj], history: History, now: datetime) -> Plan:
    """`pods`: all that are owned. `claims`: those of the namespace, by name."""
    shown, again = status.plan(stateful_set, pods, history, now)
    if is_deleting(stateful_set):
        return Plan(status=shown, again_in=again)
    run = _Pass(stateful_set, pods, claims, history, now)
    run.walk()
    return Plan(
        tuple(run.create),
        tuple(run.claims),
        tuple(run.owned),
        tuple(run.repair),
        tuple(run.delete),
        tuple(run.conflicts),
        tuple(run.waiting),
        shown,
        again,
    )


class _Pass:
    """One look at all ordinals, which gathers what to write."""

    def __init__(
        self, stateful_set: Obj, pods: Sequence[Obj], known: Mapping[str, Obj], history: History, now: datetime
    ) -> None:
        self._set, self._known, self._history, self._now = stateful_set, known, history, now
        numbered = {number: p for p in pods if (number := identity.ordinal(stateful_set, p)) is not None}
        first = identity.start(stateful_set)
        self._range = range(first, first + identity.replicas(stateful_set))
        self._here = {n: p for n, p in numbered.items() if n in self._range}
        self._condemned = sorted(
            ((n, p) for n, p in numbered.items() if n not in self._range), reverse=True, key=_first
        )
        self._ordered = stateful_set["spec"].get("podManagementPolicy") != "Parallel"
        self._min_ready = int(stateful_set["spec"].get("minReadySeconds") or 0)
        self.create: list[Birth] = []
        self.claims: list[Birth] = []
        self.owned: list[Obj] = []
        self.repair: list[Obj] = []
        self.delete: list[Obj] = []
        self.conflicts: list[str] = []
        self.waiting: list[str] = []

    def walk(self) -> None:
        for number in self._range:
            if self._place(number) and self._ordered:
                return
        for number, pod in self._condemned:
            self._own_claims(number, pod)
        for _, pod in self._condemned:
            if self._condemn(pod) and self._ordered:
                return
        if (self._set["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
            self._roll()

    def _place(self, number: int) -> bool:
        """Put one ordinal right; whether an ordered set has to wait for it."""
        pod = self._here.get(number)
        if pod is None:
            return self._bear(number)
        if pod_status.phase(pod) in pod_status.FINAL:
            if not is_deleting(pod):
                self.delete.append(pod)
            return True
        missing = self._missing(number) if pod_status.phase(pod) == "Pending" and not is_deleting(pod) else ()
        if missing:
            self.claims.append(Birth(pod, missing))
        waits = self._ordered and self._unavailable(pod)
        if not is_deleting(pod) and (not waits or pod_status.phase(pod) == "Pending"):
            self._own_claims(number, pod)
        if not waits and not is_deleting(pod) and not identity.is_itself(self._set, pod, number):
            self.repair.append(identity.identified(self._set, pod, number))
        return waits

    def _bear(self, number: int) -> bool:
        revision = self._history.current if self._is_held_back(number) else self._history.update
        pod = identity.pod(self._set, revision.template, revision.name, number)
        for claim in self._known_claims(number):
            if retention.is_stale(self._set, claim, name(pod)):
                self.waiting.append(f"claim {name(claim)} still belongs to a former pod")
                return True
            if is_deleting(claim):
                self.waiting.append(f"pvc {name(claim)} is being deleted")
                return True
        self.create.append(Birth(pod, self._missing(number)))
        return True

    def _is_held_back(self, number: int) -> bool:
        """Whether an ordinal without a pod gets the current template, not the one that comes."""
        strategy = self._set["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return False
        if strategy.get("rollingUpdate") is None:
            kept = int((self._set.get("status") or {}).get("currentReplicas") or 0)
        else:
            kept = int(strategy["rollingUpdate"].get("partition") or 0)
        return number < self._range.start + kept

    def _condemn(self, pod: Obj) -> bool:
        """Take away a pod beyond the range; whether an ordered set has to wait."""
        if is_deleting(pod):
            return True
        if self._ordered and self._unavailable(pod) and pod is not self._first_unavailable():
            return True
        self.delete.append(pod)
        return True

    def _first_unavailable(self) -> Obj | None:
        """The pod with the lowest place of those that do not work; nobody waits for it to get well before it goes."""
        if any(n not in self._here for n in self._range):
            return None
        order = [*(self._here[n] for n in self._range), *(p for _, p in reversed(self._condemned))]
        return next((p for p in order if self._unavailable(p)), None)

    def _roll(self) -> None:
        """Replace pods of another revision, from the highest ordinal down to the partition."""
        rolling = (self._set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        wanted = self._history.update.name
        kept = self._range.start + int(rolling.get("partition") or 0)
        several = rolling.get("maxUnavailable")
        room = 1
        if several is not None:
            missing = sum(n not in self._here or self._unavailable(self._here[n]) for n in self._range)
            room = max(resolved(several, len(self._range), up=False), 1) - missing
        # A pod that this pass deletes (it ended) or creates is as good as on its way.
        going = {name(p) for p in self.delete}
        for number in reversed(self._range):
            pod = self._here.get(number)
            if number < kept or room <= 0:
                return
            outdated = pod is not None and labels(pod).get(identity.REVISION) != wanted and not is_deleting(pod)
            if pod is not None and outdated and name(pod) not in going:
                self.delete.append(pod)
                room -= 1
            elif several is None and (pod is None or self._unavailable(pod)):
                return

    def _unavailable(self, pod: Obj) -> bool:
        running = pod_status.phase(pod) == "Running" and not is_deleting(pod)
        return not running or pod_status.available_in(pod, self._min_ready, self._now) != 0

    def _missing(self, number: int) -> tuple[Obj, ...]:
        return tuple(c for c in identity.claims(self._set, number) if name(c) not in self._known)

    def _known_claims(self, number: int) -> list[Obj]:
        templates = self._set["spec"].get("volumeClaimTemplates") or ()
        wanted = (identity.claim_name(self._set, t, number) for t in templates)
        return [self._known[n] for n in wanted if n in self._known]

    def _own_claims(self, number: int, pod: Obj) -> None:
        for claim in self._known_claims(number):
            changed = retention.settled(self._set, claim, pod, number)
            if changed is not None:
                self.owned.append(changed)
                if retention.conflict(self._set, claim, pod):
                    self.conflicts.append(name(claim))


def _first(item: tuple[int, Obj]) -> int:
    return item[0]
