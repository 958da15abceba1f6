"""An APIService for each group version that the server serves itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from apimachinery.kinds import API_SERVICE, Kind
from controlplane.apiserver import places
from controlplane.apiserver.maintained.keeping import Wanted, restored

# The label that says of an APIService that its server keeps it, and for how long.
KEPT = "kube-aggregator.kubernetes.io/automanaged"
_LABEL = {KEPT: "onstart"}


def wanted(kinds: Iterable[Kind]) -> tuple[Wanted, ...]:
    """Groups without a place (the one of the APIServices themselves) get none, as upstream."""
    found = []
    for group, version in dict.fromkeys((kind.group, kind.version) for kind in kinds):
        found_place = places.built_in(group, version)
        if found_place is None:
            continue
        spec = {"version": version, "groupPriorityMinimum": found_place[0], "versionPriority": found_place[1]}
        if group:
            spec["group"] = group
        obj = {"metadata": {"labels": _LABEL}, "spec": spec}
        found.append(Wanted(API_SERVICE, f"{version}.{group}", restored(partial(dict, obj), "spec")))
    return tuple(found)
