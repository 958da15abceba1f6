"""The pods that a Job still needs, and those it has too many. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from apimachinery.objects import Obj, copy, name
from controlplane.controllers.context import LONGEST_BASE
from controlplane.controllers.job import backoff, indexes, policies
from controlplane.controllers.job.backoff import Record
from controlplane.controllers.job.facts import FAILURES, FINALIZER, IGNORED, INDEX, Facts, failures_of, index_of
from controlplane.controllers.pod_control import from_template
from controlplane.controllers.replicaset.plan import BURST, order, view

VARIABLE = "JOB_COMPLETION_INDEX"


def wanted(facts: Facts) -> int:
    """How many pods should be at work."""
    parallelism = int(facts.job["spec"].get("parallelism", 1))
    if facts.is_suspended:
        return 0
    if facts.completions is None:
        # A queue of work: once one has succeeded, the others end by themselves.
        return len(facts.active) if facts.succeeded > 0 else parallelism
    return max(min(facts.completions - facts.succeeded, parallelism), 0)


def surplus(facts: Facts, count: int, now: datetime) -> list[Obj]:
    """Active pods to take away: those of an index that another one has, or that is none, and `count` at least."""
    going: list[Obj] = []
    left = facts.active
    if facts.is_indexed:
        by_index: dict[int | None, list[Obj]] = {}
        for pod in facts.active:
            by_index.setdefault(index_of(pod), []).append(pod)
        left = []
        for index, pods in by_index.items():
            if index is None or index >= (facts.completions or 0):
                going += pods
                continue
            ranked = sorted(pods, key=lambda p: _order(p, now))
            going += ranked[:-1]
            left.append(ranked[-1])
    if len(going) < count:
        going += sorted(left, key=lambda p: _order(p, now))[: count - len(going)]
    return going if facts.is_suspended else going[:BURST]


def _order(pod: Obj, now: datetime) -> tuple[object, ...]:
    return order(replace(view(pod), cost=0), now)


def due(facts: Facts, record: Record, now: datetime) -> tuple[list[Obj], float | None]:
    """Pods to create, and seconds until a pause ends that keeps others from being created."""
    busy = len(facts.terminating) if facts.replaces_only_failed else 0
    count = min(wanted(facts) - busy - len(facts.active), BURST)
    if count <= 0:
        return [], None
    if facts.per_index is None:
        pause = backoff.remaining(record, now)
        if pause > 0:
            return [], pause
    if not facts.is_indexed:
        return [pod(facts.job, None) for _ in range(count)], None
    free = _free(facts, count)
    pauses = {index: _pause(facts, index, now) for index in free}
    ready = [index for index in free if pauses[index] == 0]
    later = min((p for p in pauses.values() if p > 0), default=None)
    return [pod(facts.job, index, facts) for index in ready], later


def _free(facts: Facts, count: int) -> list[int]:
    taken = facts.succeeded_indexes | _indexes(facts.active)
    if facts.replaces_only_failed:
        taken |= _indexes(facts.terminating)
    if facts.failed_indexes is not None:
        taken |= facts.failed_indexes
    found = taken.missing(facts.completions or 0)
    return [index for _, index in zip(range(count), found, strict=False)]


def _indexes(pods: Sequence[Obj]) -> indexes.Indexes:
    return indexes.of(index for pod in pods if (index := index_of(pod)) is not None)


def _pause(facts: Facts, index: int, now: datetime) -> float:
    former = facts.waiting.get(index)
    if former is None:
        return 0.0
    failures = failures_of(former) + failures_of(former, IGNORED) + 1
    return backoff.remaining(Record(failures, backoff.finished_at(former)), now)


def pod(job: Obj, index: int | None, facts: Facts | None = None) -> Obj:
    """A pod without the end of its name, which generateName holds until somebody chooses it."""
    base = f"{name(job)}-" if index is None else _indexed_base(job, index)
    made = from_template(job, job["spec"]["template"], "", base)
    meta = made["metadata"]
    meta["finalizers"] = [*(f for f in meta.get("finalizers") or () if f != FINALIZER), FINALIZER]
    if index is None:
        return made
    meta["annotations"] = {**(meta.get("annotations") or {}), INDEX: str(index)}
    meta["labels"] = {**(meta.get("labels") or {}), INDEX: str(index)}
    if facts is not None and facts.per_index is not None:
        meta["annotations"] |= _failures(facts, index)
    spec = made["spec"]
    spec["hostname"] = f"{name(job)}-{index}"
    for kind in ("initContainers", "containers"):
        if spec.get(kind):
            spec[kind] = list(_told(spec[kind]))
    return made


def _indexed_base(job: Obj, index: int) -> str:
    end = f"-{index}-"
    return name(job)[: LONGEST_BASE - len(end)] + end


def _failures(facts: Facts, index: int) -> dict[str, str]:
    former = facts.waiting.get(index)
    if former is None:
        return {FAILURES: "0"}
    counts = policies.matched(facts.job, former).counts
    ignored = failures_of(former, IGNORED) + (not counts)
    return {FAILURES: str(failures_of(former) + counts), **({IGNORED: str(ignored)} if ignored else {})}


def _told(containers: Sequence[Obj]) -> Iterable[Obj]:
    for container in copy({"all": containers})["all"]:
        if all(variable["name"] != VARIABLE for variable in container.get("env") or ()):
            source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
            container["env"] = [*(container.get("env") or ()), {"name": VARIABLE, "valueFrom": source}]
        yield container
