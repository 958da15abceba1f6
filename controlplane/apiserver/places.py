"""In which order groups and versions come: upstream's priorities of its own, and how versions compare. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Group -> its place among the groups, and its versions' among them: higher comes first, as upstream numbers them.
_BUILT_IN: Mapping[str, tuple[int, Mapping[str, int]]] = {
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
# Of custom resources.
CUSTOM = (1000, 100)
# Before all others, whatever an APIService says: the group of the APIServices themselves, which has none of its own.
FIRST_GROUP, _FIRST = "apiregistration.k8s.io", (20001, 0)
_KUBE = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STABLE, _BETA, _ALPHA, _OTHER = range(4)


def built_in(group: str, version: str) -> tuple[int, int] | None:
    """The place of a group that upstream has, and of its version; None for other groups."""
    if group not in _BUILT_IN:
        return None
    place, versions = _BUILT_IN[group]
    return place, versions.get(version, _VERSION)


def of(group: str, version: str, told: Mapping[tuple[str, str], tuple[int, int]]) -> tuple[int, int]:
    """The places of a group and its version. told: what APIServices say."""
    if group == FIRST_GROUP:
        return _FIRST
    return told.get((group, version)) or built_in(group, version) or CUSTOM


def rank(version: str) -> tuple[int, int, int, str]:
    """Sorts versions of one place, the most wanted first: v2, v1, v1beta2, v1beta1, v1alpha1, then any other by name.

    Source: "Version priority" in Kubernetes' reference of versions in CustomResourceDefinitions.
    """
    found = _KUBE.fullmatch(version)
    if found is None:
        return _OTHER, 0, 0, version
    level = {None: _STABLE, "beta": _BETA, "alpha": _ALPHA}[found[2]]
    return level, -int(found[1]), -int(found[3] or 0), ""
