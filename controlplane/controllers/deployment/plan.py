"""Everything one pass over a Deployment should write. Pure: objects in, a Plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apimachinery import objects
from apimachinery.objects import Obj, condition, is_deleting, name
from controlplane.controllers import names
from controlplane.controllers.deployment import revisions, sizes
from controlplane.controllers.deployment import status as states
from controlplane.controllers.deployment.sizes import replicas

HISTORY = 10


@dataclass(frozen=True)
class Event:
    reason: str
    message: str


@dataclass(frozen=True)
class Change:
    """A ReplicaSet to update, and the event of its new size."""

    replica_set: Obj
    event: Event | None = None


@dataclass(frozen=True)
class Plan:
    """Writes in the order to do them: `create`, `updates`, `deletes`, `revision` (an annotation),
    `status`.

    `again_in`: seconds after which time alone may change the plan.
    """

    create: Change | None = None
    updates: tuple[Change, ...] = ()
    deletes: tuple[Obj, ...] = ()
    revision: str | None = None
    status: Obj | None = None
    again_in: float | None = None


@dataclass
class _Draft:
    """The plan while it is made. `sets`: every ReplicaSet as it will be, by name."""

    deployment: Obj
    sets: dict[str, Obj]
    conditions: list[Obj]
    now: datetime
    new: str = ""
    created: str = ""
    events: dict[str, Event] = field(default_factory=dict)
    deletes: list[Obj] = field(default_factory=list)
    revision: str | None = None

    def new_set(self) -> Obj | None:
        return self.sets.get(self.new)

    def old(self) -> list[Obj]:
        return [s for n, s in self.sets.items() if n != self.new]

    def resize(self, target: str, size: int) -> None:
        """Give a set its size, and note for which wish it was sized."""
        replica_set = self.sets[target]
        before = replicas(replica_set)
        wanted = replicas(self.deployment)
        noted = dict(objects.annotations(replica_set))
        noted[names.DESIRED_REPLICAS] = str(wanted)
        noted[names.MAX_REPLICAS] = str(wanted + sizes.limits(self.deployment)[0])
        if size == before and noted == objects.annotations(replica_set):
            return
        self.sets[target] = revisions.with_annotations(revisions.with_spec(replica_set, replicas=size), noted)
        if size != before:
            way = "up" if size > before else "down"
            text = f"Scaled {way} replica set {target} from {before} to {size}"
            self.events[target] = Event("ScalingReplicaSet", text)


def plan(deployment: Obj, sets: Sequence[Obj], old_pods: bool, now: datetime) -> Plan:
    """`sets`: all the Deployment owns. `old_pods`: whether pods of older templates still run (for
    Recreate).
    """
    conditions = list((deployment.get("status") or {}).get("conditions") or ())
    draft = _Draft(deployment, {name(s): s for s in sets}, conditions, now)
    if is_deleting(deployment):
        found = revisions.find_new(deployment, sets)
        draft.new = name(found) if found else ""
        return _finish(draft, sets)
    paused = states.paused_conditions(deployment, now)
    if paused is not None:
        draft.conditions = paused
    if deployment["spec"].get("paused"):
        _adopt_new(draft, sets, create=False)
        _scale(draft)
        _clean(draft, sets)
    elif sizes.is_scaling(deployment, sets):
        _adopt_new(draft, sets, create=False)
        _scale(draft)
    elif sizes.is_rolling(deployment):
        _adopt_new(draft, sets, create=True)
        _roll(draft, sets)
    else:
        _recreate(draft, sets, old_pods)
    return _finish(draft, sets)


def _adopt_new(draft: _Draft, sets: Sequence[Obj], create: bool) -> None:
    """Find (or make) the set of the present template and give it its revision."""
    deployment, now = draft.deployment, draft.now
    found = revisions.find_new(deployment, sets)
    highest = max((revisions.revision(s) for s in sets if s is not found), default=0)
    has_deadline = states.deadline(deployment) is not None
    if found is not None:
        draft.new = name(found)
        updated = revisions.annotated(found, deployment, highest + 1)
        min_ready = int(deployment["spec"].get("minReadySeconds") or 0)
        if int(found["spec"].get("minReadySeconds") or 0) != min_ready:
            updated = revisions.with_spec(updated, minReadySeconds=min_ready)
        draft.sets[draft.new] = updated
        if has_deadline and condition(deployment, "Progressing") is None:
            text = f'Found new replica set "{name(found)}"'
            draft.conditions = states.with_condition(
                draft.conditions, "Progressing", "True", "FoundNewReplicaSet", text, now
            )
    elif create:
        fresh = revisions.build(deployment, highest + 1)
        draft.new = draft.created = name(fresh)
        draft.sets[draft.new] = fresh
        draft.resize(draft.new, sizes.grown_new(deployment, list(draft.sets.values()), fresh))
        if has_deadline:
            text = f'Created new replica set "{name(fresh)}"'
            draft.conditions = states.with_condition(
                draft.conditions, "Progressing", "True", "NewReplicaSetCreated", text, now
            )
    new = draft.new_set()
    if new is not None:
        number = objects.annotations(new).get(names.REVISION)
        if number is not None and number != objects.annotations(deployment).get(names.REVISION):
            draft.revision = number


def _scale(draft: _Draft) -> None:
    for target, size in sizes.scaled(draft.deployment, draft.new_set(), draft.old()).items():
        draft.resize(target, size)


def _roll(draft: _Draft, sets: Sequence[Obj]) -> None:
    """Grow the new set, or else shrink the old ones: one step a pass, for each rests on what the last one
    did.
    """
    deployment, new = draft.deployment, draft.new_set()
    if new is None:
        return
    if draft.created and not draft.old():
        return
    size = sizes.grown_new(deployment, list(draft.sets.values()), new)
    if size != replicas(new):
        draft.resize(draft.new, size)
        return
    shrunk = sizes.shrunk_old(deployment, new, draft.old())
    for target, smaller in shrunk.items():
        draft.resize(target, smaller)
    if not shrunk:
        _clean(draft, sets)


def _recreate(draft: _Draft, sets: Sequence[Obj], old_pods: bool) -> None:
    """All old pods go before the first new one comes."""
    _adopt_new(draft, sets, create=False)
    running = [s for s in draft.old() if replicas(s) > 0]
    for replica_set in running:
        draft.resize(name(replica_set), 0)
    if running or old_pods:
        return
    _adopt_new(draft, sets, create=True)
    draft.resize(draft.new, replicas(draft.deployment))
    _clean(draft, sets)


def _clean(draft: _Draft, sets: Sequence[Obj]) -> None:
    """Forget the oldest revisions beyond the limit, once the rollout is complete."""
    deployment = draft.deployment
    if not deployment["spec"].get("paused") and not states.is_complete(
        deployment, states.counted(deployment, draft.new_set(), sets, (), draft.now)
    ):
        return
    limit = deployment["spec"].get("revisionHistoryLimit")
    limit = HISTORY if limit is None else int(limit)
    alive = [s for s in draft.old() if not is_deleting(s)]
    surplus = len(alive) - limit
    if surplus <= 0:
        return
    for replica_set in sorted(alive, key=lambda s: (revisions.revision(s), name(s)))[:surplus]:
        observed = int((replica_set.get("status") or {}).get("observedGeneration") or 0)
        idle = not replicas(replica_set) and not sizes.present(replica_set)
        if idle and observed >= int(replica_set["metadata"].get("generation") or 0):
            draft.deletes.append(replica_set)


def _finish(draft: _Draft, sets: Sequence[Obj]) -> Plan:
    deployment, now = draft.deployment, draft.now
    before = {name(s): s for s in sets}
    new = draft.new_set()
    visible = list(sets) if not draft.created else [*sets, draft.sets[draft.created]]
    status = states.counted(deployment, new, visible, draft.conditions, now)
    if not is_deleting(deployment) and not deployment["spec"].get("paused"):
        status = states.progressed(deployment, new, visible, status, now)
    current = next((c for c in status["conditions"] if c.get("type") == "Progressing"), None)
    again = None if states.is_complete(deployment, status) else states.overdue_in(deployment, current, now)
    updates = tuple(Change(s, draft.events.get(n)) for n, s in draft.sets.items() if n in before and s is not before[n])
    created = draft.sets.get(draft.created)
    return Plan(
        create=Change(created, draft.events.get(draft.created)) if created else None,
        updates=updates,
        deletes=tuple(draft.deletes),
        revision=draft.revision,
        status=None if status == (deployment.get("status") or {}) else status,
        again_in=again or None,
    )
