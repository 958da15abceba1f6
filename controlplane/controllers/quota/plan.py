"""What of a quota is used, and when that has to be counted anew. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from apimachinery.kinds import PERSISTENT_VOLUME_CLAIM, POD, RESOURCE_CLAIM, SERVICE, Kind
from apimachinery.objects import Obj, name
from apimachinery.pods.totals import Amounts, add, parsed
from apimachinery.quantity import Quantity
from controlplane.apiserver.admission.quota import coverage, usage
from controlplane.apiserver.admission.quota.devices import NOTHING_KNOWN, Devices, asker, is_made_for, resource_of

_ZERO = Quantity(0)
# Kinds of which more counts than their number, and which therefore may count less without being deleted.
_WEIGHED = {kind.resource: kind for kind in (POD, SERVICE, PERSISTENT_VOLUME_CLAIM, RESOURCE_CLAIM)}


def countable(kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    """Of what a server serves, the kinds that quotas count, as the rules of what counts know them."""
    found = [kind for kind in kinds if kind.namespaced and {"list", "watch"} <= kind.verbs and kind.plural != "events"]
    return tuple(_WEIGHED.get(kind.resource, kind) for kind in found)


def asks_devices(quota: Obj) -> bool:
    """Whether what counts against the quota depends on which device classes there are."""
    return usage.asks_devices(quota["spec"].get("hard") or ())


def limited(quota: Obj, kinds: Iterable[Kind], classes: Iterable[Obj] = ()) -> list[Kind]:
    """Those that the quota says anything about. classes: the device classes there are."""
    hard, known = parsed(quota["spec"].get("hard")), Devices(_resources(classes), NOTHING_KNOWN.pod_of)
    return [kind for kind in kinds if usage.names(kind, hard, known)]


def _resources(classes: Iterable[Obj]) -> dict[str, str]:
    return {name(one): resource_of(one) for one in classes}


def _known(objects: Mapping[Kind, Iterable[Obj]], classes: Iterable[Obj]) -> Devices:
    pods = {name(pod): pod for pod in objects.get(POD, ())}

    def pod_of(claim: Obj) -> Obj | None:
        pod = pods.get((asker(claim) or {}).get("name", ""))
        return pod if pod is not None and is_made_for(claim, pod, lambda: objects[RESOURCE_CLAIM]) else None

    return Devices(_resources(classes), pod_of)


def used(quota: Obj, objects: Mapping[Kind, Sequence[Obj]], now: datetime, classes: Iterable[Obj] = ()) -> Amounts:
    """What the objects of its namespace use of each limited resource."""
    known = _known(objects, classes)
    hard, scopes = parsed(quota["spec"].get("hard")), coverage.selectors(quota["spec"])
    total: Amounts = dict.fromkeys(hard, _ZERO)
    for kind, there in objects.items():
        names = usage.names(kind, hard, known)
        for obj in there:
            if coverage.covers(scopes, kind, obj):
                counted = usage.of(kind, obj, now, known)
                add(total, {name: counted[name] for name in names if name in counted})
    return total


def status(quota: Obj, total: Mapping[str, Quantity]) -> Obj | None:
    """The quota's status as it should be; None where it says so, in whatever writing."""
    standing, hard = quota.get("status") or {}, parsed(quota["spec"].get("hard"))
    if (parsed(standing.get("hard")), parsed(standing.get("used"))) == (hard, dict(total)):
        return None
    shown = {name: str(amount) for name, amount in sorted(total.items())}
    return {**standing, "hard": dict(quota["spec"].get("hard") or {}), "used": shown}


def frees(kind: Kind, old: Obj | None, new: Obj | None, now: datetime) -> bool:
    """Whether a change makes room: something is gone, or counts less. What is new the API server has counted."""
    if old is None or new is None:
        return new is None
    if kind.resource not in _WEIGHED:
        return False
    before, after = usage.of(kind, old, now), usage.of(kind, new, now)
    return any(amount > after.get(name, _ZERO) for name, amount in before.items())


def asks(old: Obj | None, new: Obj) -> bool:
    """Whether a quota that is new or has changed has to be counted: its limits are not those its status tells."""
    if old is None or old["spec"] != new["spec"]:
        return True
    return parsed((new.get("status") or {}).get("hard")) != parsed(new["spec"].get("hard"))
