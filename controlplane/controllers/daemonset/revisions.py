"""The history of a DaemonSet's templates, as ControllerRevisions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery.objects import Obj, labels, name, namespace, owner_reference
from controlplane.controllers import history
from controlplane.controllers.daemonset.placing import REVISION_HASH
from controlplane.controllers.deployment.revisions import comparable, template_hash
from controlplane.controllers.revision_store import Changes

HISTORY = 10


@dataclass(frozen=True)
class History(Changes):
    """The changes, and the `digest` of the present template."""

    digest: str = ""


def plan(daemon_set: Obj, revisions: Sequence[Obj], used: frozenset[str]) -> History:
    """`used`: hashes that pods still carry; their revisions are kept whatever the limit."""
    template = daemon_set["spec"]["template"]
    wanted = comparable(template)
    present = next((r for r in revisions if comparable(_template(r)) == wanted), None)
    highest = max((int(r.get("revision") or 0) for r in revisions), default=0)
    create = renew = None
    if present is None:
        collisions = (daemon_set.get("status") or {}).get("collisionCount")
        digest = template_hash(template, collisions)
        create = _build(daemon_set, digest, highest + 1)
    else:
        digest = labels(present).get(REVISION_HASH) or name(present).rpartition("-")[2]
        if int(present.get("revision") or 0) < highest:
            renew = {**present, "revision": highest + 1}
    limit = daemon_set["spec"].get("revisionHistoryLimit")
    limit = HISTORY if limit is None else int(limit)
    idle = [r for r in revisions if r is not present and labels(r).get(REVISION_HASH) not in used]
    surplus = max(len(idle) - limit, 0)
    oldest = sorted(idle, key=lambda r: int(r.get("revision") or 0))[:surplus]
    return History(create, renew, tuple(oldest), digest)


def _template(revision: Obj) -> Obj:
    stored = ((revision.get("data") or {}).get("spec") or {}).get("template") or {}
    return {key: value for key, value in stored.items() if key != "$patch"}


def _build(daemon_set: Obj, digest: str, number: int) -> Obj:
    template = daemon_set["spec"]["template"]
    carried = (template.get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name(daemon_set)}-{digest}",
            "namespace": namespace(daemon_set),
            "labels": {**carried, REVISION_HASH: digest},
            "annotations": dict(daemon_set["metadata"].get("annotations") or {}),
            "ownerReferences": [owner_reference(daemon_set)],
        },
        "data": history.data(template),
        "revision": number,
    }
