"""What is odd about workloads: their names, their templates, and what they make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.advice import pods

Advice = Callable[[Obj, "Obj | None"], Sequence[str]]

_HISTORY = "a negative value retains all historical revisions; a value >= 0 is recommended"
_MANY_INDEXES, _MANY_PODS = 100_000, 10_000
_TOO_MANY = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
    "might not be able to track completedIndexes when a big number of indexes fail"
)
_ZONE = (
    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)
_ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


def template(*path: str, named: bool = True) -> Advice:
    """Advice on the pod template that a kind keeps at this path, and (named) on a name that pods will carry.

    A change is told of where it is one of what the object wants, as its generation says.
    """
    where = ".".join(path)

    def advise(obj: Obj, old: Obj | None) -> Sequence[str]:
        found = list(pods.hostname(obj, "Pod names and hostnames")) if named and old is None else []
        return [*found, *pods.template(where, _at(obj, path))] if _wants_else(obj, old) else found

    return advise


def _wants_else(obj: Obj, old: Obj | None) -> bool:
    return old is None or obj["metadata"].get("generation") != old["metadata"].get("generation")


def _at(obj: Obj, path: Sequence[str]) -> Any:
    value: Any = obj
    for step in path:
        value = (value or {}).get(step)
    return value


def daemon_set(obj: Obj, old: Obj | None) -> Sequence[str]:
    """Of a new template alone."""
    fresh = obj["spec"].get("template")
    return pods.template("spec.template", fresh) if old is None or fresh != old["spec"].get("template") else ()


def replication_controller(obj: Obj, old: Obj | None) -> Sequence[str]:
    """A change is told of what was there before, as upstream does it."""
    found = list(pods.hostname(obj, "Pod names and hostnames")) if old is None else []
    told = old if old is not None else obj
    return [*found, *pods.template("spec.template", told["spec"].get("template"))] if _wants_else(obj, old) else found


def stateful_set(obj: Obj, old: Obj | None) -> Sequence[str]:
    spec = obj["spec"]
    found = pods.template("spec.template", spec.get("template")) if _wants_else(obj, old) else []
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        where = f"spec.volumeClaimTemplates[{index}]{'' if old is None else '.Spec'}"
        found += pods.claim(where, claim.get("spec") or {})
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        found.append(f"spec.revisionHistoryLimit: {_HISTORY}")
    return found


def job(obj: Obj, old: Obj | None) -> Sequence[str]:
    found = list(pods.hostname(obj, "Pod names and hostnames")) if old is None else []
    return [*found, *_job("spec", obj["spec"])] if _wants_else(obj, old) else found


def _job(path: str, spec: Obj) -> Iterator[str]:
    many = (spec.get("completions") or 0) > _MANY_INDEXES and (spec.get("parallelism") or 0) > _MANY_PODS
    if many and spec.get("completionMode") == "Indexed":
        yield f"{path}: {_TOO_MANY}"
    yield from pods.template(f"{path}.template", spec.get("template"))


def cron_job(obj: Obj, old: Obj | None) -> Sequence[str]:
    spec = obj["spec"]
    found = list(pods.hostname(obj, "Pod names and hostnames")) if old is None else []
    if _wants_else(obj, old):
        found += _job("spec.jobTemplate.spec", (spec.get("jobTemplate") or {}).get("spec") or {})
    if old is not None and "TZ" in (spec.get("schedule") or ""):
        found.append(_ZONE)
    return found


def job_deleted(options: Obj) -> Sequence[str]:
    """A Job's pods stay, unless its deletion says otherwise."""
    said = options.get("propagationPolicy") is not None or options.get("orphanDependents") is not None
    return () if said else (_ORPHANS,)
