"""Templates and revisions: which ReplicaSet is the Deployment's present one, and what number it has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from apimachinery import objects
from apimachinery.objects import Obj, copy, name, namespace, owner_reference
from controlplane.controllers import names
from controlplane.controllers.context import ALPHABET

# Annotations of a Deployment that say something of itself and are not handed down.
OWN_ANNOTATIONS = frozenset(
    (
        names.LAST_APPLIED,
        names.REVISION,
        names.REVISION_HISTORY,
        names.DESIRED_REPLICAS,
        names.MAX_REPLICAS,
        names.ROLLBACK_TO,
    )
)
# Bytes the list of former revisions may have (upstream's limit of the revision-history annotation).
HISTORY_LIMIT = 2000


def canonical(value: Any) -> Any:
    """The value without nulls and empty maps and lists, which mean the same as nothing."""
    if isinstance(value, dict):
        kept = {key: canonical(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != {} and item != []}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return value


def comparable(template: Obj) -> bytes:
    """Equal bytes for templates that differ in nothing but the pod-template-hash label."""
    plain: Obj = canonical(template)
    meta = dict(plain.get("metadata") or {})
    meta["labels"] = {k: v for k, v in (meta.get("labels") or {}).items() if k != names.POD_TEMPLATE_HASH}
    return orjson.dumps({**plain, "metadata": meta}, option=orjson.OPT_SORT_KEYS)


def template_hash(template: Obj, collisions: int | None) -> str:
    """A label value for the template: FNV-1a of its bytes and the collision count, spelled without vowels.

    The alphabet and shape are upstream's; the number is not, for it depends on the memory layout of Go
    structures. A cluster whose ReplicaSets upstream made is understood all the same, since templates are
    compared, not hashes.
    """
    value = 0x811C9DC5
    for byte in comparable(template) + (b"" if collisions is None else collisions.to_bytes(8, "little")):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(value))


def by_age(sets: Iterable[Obj]) -> list[Obj]:
    """Oldest first, names deciding between equals."""
    return sorted(sets, key=lambda s: (s["metadata"].get("creationTimestamp") or "", name(s)))


def find_new(deployment: Obj, sets: Sequence[Obj]) -> Obj | None:
    """The oldest ReplicaSet with the Deployment's template."""
    wanted = comparable(deployment["spec"]["template"])
    return next((s for s in by_age(sets) if comparable(s["spec"].get("template") or {}) == wanted), None)


def revision(obj: Obj) -> int:
    try:
        return int(objects.annotations(obj).get(names.REVISION, "0"))
    except ValueError:
        return 0


def annotated(replica_set: Obj, deployment: Obj, number: int) -> Obj:
    """The set with the Deployment's annotations and revision `number`; the same object when nothing
    changes.

    The Deployment's annotations are added, never removed: a set keeps what its own revision was told.
    """
    old = dict(objects.annotations(replica_set))
    new = dict(old)
    handed = {k: v for k, v in objects.annotations(deployment).items() if k not in OWN_ANNOTATIONS}
    new.update(handed)
    before = revision(replica_set)
    if before < number:
        new[names.REVISION] = str(number)
        if names.REVISION in old:
            history = [r for r in old.get(names.REVISION_HISTORY, "").split(",") if r]
            if old[names.REVISION] not in history:
                history.append(old[names.REVISION])
            while len(",".join(history)) > HISTORY_LIMIT:
                history.pop(0)
            new[names.REVISION_HISTORY] = ",".join(history)
    return replica_set if new == old else with_annotations(replica_set, new)


def with_annotations(obj: Obj, values: dict[str, str]) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "annotations": values}}


def with_spec(obj: Obj, **fields: Any) -> Obj:
    return {**obj, "spec": {**obj["spec"], **fields}}


def build(deployment: Obj, number: int) -> Obj:
    """A ReplicaSet of the Deployment's template, its size still 0."""
    spec = deployment["spec"]
    collisions = (deployment.get("status") or {}).get("collisionCount")
    template = copy(spec["template"])
    digest = template_hash(template, collisions)
    meta = template.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), names.POD_TEMPLATE_HASH: digest}
    selector = copy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), names.POD_TEMPLATE_HASH: digest}
    replica_set: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name(deployment)}-{digest}",
            "namespace": namespace(deployment),
            "labels": dict(meta["labels"]),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        replica_set["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return annotated(replica_set, deployment, number)
