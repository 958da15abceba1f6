"""How many pods each ReplicaSet of a Deployment should have next. Pure arithmetic, upstream's rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from apimachinery import objects
from apimachinery.objects import Obj, name
from controlplane.controllers import names
from controlplane.controllers.deployment.revisions import by_age
from controlplane.controllers.shares import resolved

Sizes = Mapping[str, int]
"""ReplicaSet name to the replicas it should have."""


def replicas(obj: Obj) -> int:
    """spec.replicas with its default."""
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


def available(replica_set: Obj) -> int:
    return int((replica_set.get("status") or {}).get("availableReplicas") or 0)


def present(replica_set: Obj) -> int:
    return int((replica_set.get("status") or {}).get("replicas") or 0)


def _staying(replica_set: Obj) -> int:
    """Available pods that will stay: a status not yet caught up with a smaller size counts pods on their way out."""
    return min(available(replica_set), replicas(replica_set))


def is_rolling(deployment: Obj) -> bool:
    return (deployment["spec"].get("strategy") or {}).get("type") != "Recreate"


def _or_quarter(value: int | str | None) -> int | str:
    return "25%" if value is None else value


def limits(deployment: Obj) -> tuple[int, int]:
    """(max surge, max unavailable) in pods; both zero would never move, so one may then be unavailable."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = resolved(_or_quarter(rolling.get("maxSurge")), wanted, up=True)
    unavailable = resolved(_or_quarter(rolling.get("maxUnavailable")), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def grown_new(deployment: Obj, sets: Sequence[Obj], new: Obj) -> int:
    """What the new set may have, given all sets (the new one among them)."""
    wanted, current = replicas(deployment), replicas(new)
    if not is_rolling(deployment):
        return wanted
    if current >= wanted:
        return wanted
    surge, _ = limits(deployment)
    room = wanted + surge - sum(map(replicas, sets))
    return current if room <= 0 else current + min(room, wanted - current)


def shrunk_old(deployment: Obj, new: Obj, old: Sequence[Obj]) -> Sizes:
    """Old sets that may shrink now: first by pods that are not available, then by what can be spared."""
    _, unavailable = limits(deployment)
    minimum = replicas(deployment) - unavailable
    sizes = {name(s): replicas(s) for s in by_age(old)}
    total = sum(sizes.values()) + replicas(new)
    spare = total - minimum - (replicas(new) - _staying(new))
    if not sum(sizes.values()) or spare <= 0:
        return {}
    left = spare
    for replica_set in by_age(old):
        broken = sizes[name(replica_set)] - _staying(replica_set)
        cut = min(left, broken)
        sizes[name(replica_set)] -= cut
        left -= cut
    sparable = sum(map(_staying, (*old, new))) - minimum
    for replica_set in by_age(old):
        if sparable <= 0:
            break
        cut = min(sparable, sizes[name(replica_set)])
        sizes[name(replica_set)] -= cut
        sparable -= cut
    return {n: size for n, size in sizes.items() if size != next(replicas(s) for s in old if name(s) == n)}


def is_scaling(deployment: Obj, sets: Sequence[Obj]) -> bool:
    """Whether spec.replicas changed since a set with pods was last sized."""
    wanted = replicas(deployment)
    for replica_set in sets:
        noted = _number(replica_set, names.DESIRED_REPLICAS)
        if replicas(replica_set) > 0 and noted is not None and noted != wanted:
            return True
    return False


def scaled(deployment: Obj, new: Obj | None, old: Sequence[Obj]) -> Sizes:
    """Sizes after a change of spec.replicas: one active set takes all of it, several take proportional
    shares.
    """
    wanted = replicas(deployment)
    sets = [*old] if new is None else [*old, new]
    active = [s for s in sets if replicas(s) > 0]
    if len(active) <= 1:
        latest = active or ([new] if new is not None else by_age(old)[-1:])
        return {name(s): wanted for s in latest}
    if new is not None and _is_saturated(deployment, new):
        return {name(s): 0 for s in old if replicas(s) > 0}
    if not is_rolling(deployment):
        return {}
    surge, _ = limits(deployment)
    allowed = wanted + surge if wanted > 0 else 0
    change = allowed - sum(map(replicas, active))
    return _proportional(deployment, active, change, wanted + surge)


def _is_saturated(deployment: Obj, new: Obj) -> bool:
    wanted = replicas(deployment)
    noted = _number(new, names.DESIRED_REPLICAS)
    return noted == replicas(new) == available(new) == wanted


def _proportional(deployment: Obj, active: Sequence[Obj], change: int, limit: int) -> Sizes:
    # Growing, the newest of the largest is served first; shrinking, the oldest of the largest.
    aged = by_age(active)
    ordered = sorted(reversed(aged) if change > 0 else aged, key=lambda s: -replicas(s))
    sizes: dict[str, int] = {}
    given = 0
    for replica_set in ordered:
        share = _fraction(deployment, replica_set, limit) if change else 0
        left = change - given
        share = min(share, left) if change > 0 else max(share, left)
        sizes[name(replica_set)] = replicas(replica_set) + share
        given += share
    first = name(ordered[0])
    sizes[first] = max(sizes[first] + change - given, 0)
    return sizes


def _fraction(deployment: Obj, replica_set: Obj, limit: int) -> int:
    if replicas(deployment) == 0:
        return -replicas(replica_set)
    before = _number(replica_set, names.MAX_REPLICAS)
    if not before:
        before = int((deployment.get("status") or {}).get("replicas") or 0)
    if not before:
        return 0
    exact = replicas(replica_set) * limit / before
    return math.floor(exact + 0.5) - replicas(replica_set)


def _number(obj: Obj, annotation: str) -> int | None:
    try:
        return int(objects.annotations(obj)[annotation])
    except (KeyError, ValueError):
        return None
