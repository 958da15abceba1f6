"""The history of a StatefulSet's templates: which one is current, which one comes. Pure.

Pods carry their revision's whole name, as upstream's do; the hash in it is upstream's of the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from apimachinery.objects import Obj, labels, name, namespace, owner_reference
from controlplane.controllers import history
from controlplane.controllers.deployment.revisions import comparable
from controlplane.controllers.revision_store import Changes
from controlplane.controllers.statefulset.identity import REVISION

HASH = "controller.kubernetes.io/hash"
LONGEST_PREFIX = 223
HISTORY = 10


@dataclass(frozen=True)
class Revision:
    """A template and the name of its ControllerRevision."""

    name: str
    template: Obj


@dataclass(frozen=True)
class History:
    """`current`: what pods below the partition have; `update`: the present template."""

    current: Revision
    update: Revision
    changes: Changes = field(default_factory=Changes)


def plan(stateful_set: Obj, revisions: Sequence[Obj], pods: Sequence[Obj]) -> History:
    ordered = sorted(revisions, key=_number)
    template = stateful_set["spec"]["template"]
    highest = max(map(_number, ordered), default=0)
    same = next((r for r in reversed(ordered) if is_of(r, template)), None)
    create = renew = None
    if same is None:
        same = create = _build(stateful_set, highest + 1)
    elif _number(same) < highest:
        renew = {**same, "revision": highest + 1}
    update = Revision(name(same), template)
    noted = (stateful_set.get("status") or {}).get("currentRevision")
    stored = next((r for r in ordered if name(r) == noted), None)
    current = update if stored is None else Revision(name(stored), _template(stored))
    live = {current.name, update.name, *(labels(pod).get(REVISION, "") for pod in pods)}
    limit = stateful_set["spec"].get("revisionHistoryLimit")
    limit = HISTORY if limit is None else int(limit)
    idle = [r for r in ordered if name(r) not in live]
    surplus = len(idle) - limit if limit >= 0 else 0
    return History(current, update, Changes(create, renew, tuple(idle[: max(surplus, 0)])))


def is_of(revision: Obj, template: Obj) -> bool:
    """Whether a revision is that of a template."""
    return comparable(_template(revision)) == comparable(template)


def _number(revision: Obj) -> int:
    return int(revision.get("revision") or 0)


def _template(revision: Obj) -> Obj:
    stored = ((revision.get("data") or {}).get("spec") or {}).get("template") or {}
    return {key: value for key, value in stored.items() if key != "$patch"}


def _build(stateful_set: Obj, number: int) -> Obj:
    template = stateful_set["spec"]["template"]
    data = history.data(template)
    collisions = int((stateful_set.get("status") or {}).get("collisionCount") or 0)
    digest = history.revision_hash(history.raw(data), collisions)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name(stateful_set)[:LONGEST_PREFIX]}-{digest}",
            "namespace": namespace(stateful_set),
            "labels": {**((template.get("metadata") or {}).get("labels") or {}), HASH: digest},
            "annotations": dict(stateful_set["metadata"].get("annotations") or {}),
            "ownerReferences": [owner_reference(stateful_set)],
        },
        "data": data,
        "revision": number,
    }
