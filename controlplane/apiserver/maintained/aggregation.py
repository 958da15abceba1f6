"""An APIService for each group version that the server serves itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from apimachinery.kinds import API_SERVICE, Kind
from controlplane.apiserver.maintained.keeping import Wanted, restored

_LABEL = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
# Group -> its place among the groups, and its versions' among them: higher comes first, as upstream numbers them.
PRIORITIES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "": (18000, {"v1": 1}),
    "apps": (17800, {}),
    "events.k8s.io": (17750, {}),
    "authentication.k8s.io": (17700, {}),
    "authorization.k8s.io": (17600, {}),
    "autoscaling": (17500, {"v2": 30}),
    "batch": (17400, {}),
    "certificates.k8s.io": (17300, {}),
    "networking.k8s.io": (17200, {}),
    "policy": (17100, {}),
    "rbac.authorization.k8s.io": (17000, {}),
    "storage.k8s.io": (16800, {}),
    "apiextensions.k8s.io": (16700, {}),
    "admissionregistration.k8s.io": (16700, {}),
    "scheduling.k8s.io": (16600, {}),
    "coordination.k8s.io": (16500, {}),
    "node.k8s.io": (16300, {}),
    "discovery.k8s.io": (16200, {}),
    "resource.k8s.io": (16200, {"v1": 21}),
    "flowcontrol.apiserver.k8s.io": (16100, {"v1": 21}),
}
_VERSION = 15


def wanted(kinds: Iterable[Kind]) -> tuple[Wanted, ...]:
    """Groups without a place (the one of the APIServices themselves) get none, as upstream."""
    found = []
    for group, version in dict.fromkeys((kind.group, kind.version) for kind in kinds):
        if group not in PRIORITIES:
            continue
        place, versions = PRIORITIES[group]
        spec = {"version": version, "groupPriorityMinimum": place, "versionPriority": versions.get(version, _VERSION)}
        if group:
            spec["group"] = group
        obj = {"metadata": {"labels": _LABEL}, "spec": spec}
        found.append(Wanted(API_SERVICE, f"{version}.{group}", restored(partial(dict, obj), "spec")))
    return tuple(found)
