"""Discovery: which groups, versions and resources there are, plain and aggregated (KEP-3352).

Pure: kinds in, documents out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from apimachinery.kinds import Kind, Subresource
from apimachinery.objects import Obj
from controlplane.apiserver import places

# The version a kind's fingerprint is computed from, where it is not the served one: objects of several
# versions share a store, and some kinds are kept in an older version than they are served in.
STORED_AS = {
    "autoscaling/v1/HorizontalPodAutoscaler": "autoscaling/v2/HorizontalPodAutoscaler",
    "events.k8s.io/v1/Event": "/v1/Event",
    "apiextensions.k8s.io/v1/CustomResourceDefinition": ("apiextensions.k8s.io/v1beta1/CustomResourceDefinition"),
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy": (
        "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"
    ),
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding": (
        "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicyBinding"
    ),
}
# How upstream lists what can be done with a custom resource.
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
AGGREGATED = "apidiscovery.k8s.io/v2"


def storage_version_hash(kind: Kind) -> str:
    """The fingerprint of how a kind is stored, equal for versions that share objects; "" if not stored."""
    if not kind.stored_version and ("create" not in kind.verbs or "get" not in kind.verbs):
        return ""
    served = f"{kind.group}/{kind.stored_version or kind.version}/{kind.kind}"
    digest = hashlib.sha256(STORED_AS.get(served, served).encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _verbs(kind: Kind) -> list[str]:
    return [verb for verb in _VERBS if verb in kind.verbs] if kind.stored_version else sorted(kind.verbs)


def _resource(kind: Kind) -> Obj:
    out: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    if fingerprint := storage_version_hash(kind):
        out["storageVersionHash"] = fingerprint
    return out


def _subresource(kind: Kind, sub: Subresource) -> Obj:
    out: Obj = {"name": f"{kind.plural}/{sub.name}", "singularName": "", "namespaced": kind.namespaced}
    if sub.version:
        out |= {"group": sub.group, "version": sub.version}
    return {**out, "kind": sub.kind, "verbs": sorted(sub.verbs)}


def resource_list(kinds: Iterable[Kind], group_version: str) -> Obj:
    """The APIResourceList of one group version."""
    resources: list[Obj] = []
    for kind in kinds:
        if kind.api_version != group_version:
            continue
        resources.append(_resource(kind))
        resources += [_subresource(kind, sub) for sub in kind.subresources.values()]
    out: Obj = {"kind": "APIResourceList"}
    if "/" in group_version:
        out["apiVersion"] = "v1"
    return {
        **out,
        "groupVersion": group_version,
        "resources": sorted(resources, key=lambda r: str(r["name"])),
    }


def versions(address: str) -> Obj:
    """The APIVersions document at /api; `address` is host:port of the server."""
    reachable = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": reachable}


@dataclass(frozen=True)
class Others:
    """What APIServices say.

    places: (group, version) -> (its group's place, its own), of all of them. entries: (group, version) -> what another
    server serves of it, as an APIVersionDiscovery.
    """

    places: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    entries: Mapping[tuple[str, str], Obj] = field(default_factory=dict)


ALONE = Others()


def ordered(served: Iterable[tuple[str, str]], others: Others, whole: bool = False) -> dict[str, list[str]]:
    """Group -> its versions, both in the order of discovery: the first version is the preferred one.

    Groups of one place come by their names; in plain discovery (not whole), as upstream, by those of their APIServices.
    """
    found: dict[str, list[str]] = {}
    for name, version in dict.fromkeys(served):
        found.setdefault(name, []).append(version)

    def place(name: str) -> tuple[int, str]:
        each = [(-places.of(name, version, others.places)[0], f"{version}.{name}") for version in found[name]]
        return (min(each)[0], name) if whole else min(each)

    def version_place(name: str, version: str) -> tuple[object, ...]:
        return -places.of(name, version, others.places)[1], *places.rank(version)

    return {name: sorted(found[name], key=partial(version_place, name)) for name in sorted(found, key=place)}


def group_versions(kinds: Iterable[Kind]) -> list[tuple[str, str]]:
    """The (group, version) pairs of kinds, each once."""
    return list(dict.fromkeys((kind.group, kind.version) for kind in kinds))


def group(name: str, served: list[str]) -> Obj:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in served]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def groups(kinds: Iterable[Kind], others: Others = ALONE) -> Obj:
    """The APIGroupList at /apis: also what an APIService alone speaks of."""
    every = ordered((*group_versions(kinds), *others.places), others)
    listed = [group(name, served) for name, served in every.items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def _response_kind(kind: str, group_: str = "", version: str = "") -> Obj:
    return {"group": group_, "version": version, "kind": kind}


def _aggregated_resource(kind: Kind) -> Obj:
    out: Obj = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    if kind.subresources:
        out["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _response_kind(sub.kind, sub.group, sub.version),
                "verbs": sorted(sub.verbs),
            }
            for sub in sorted(kind.subresources.values(), key=lambda s: s.name)
        ]
    return out


def aggregated(kinds: Iterable[Kind], core: bool, others: Others = ALONE) -> Obj:
    """The APIGroupDiscoveryList of /api (core) or /apis (all named groups)."""
    listed = list(kinds)
    items: list[Obj] = []
    for name, served in ordered((*group_versions(listed), *others.entries), others, whole=True).items():
        if core == bool(name):
            continue
        entries = []
        for version in served:
            if (name, version) in others.entries:
                entries.append(others.entries[name, version])
                continue
            found = sorted((k for k in listed if (k.group, k.version) == (name, version)), key=lambda k: k.plural)
            resources = [_aggregated_resource(kind) for kind in found]
            entries.append({"version": version, "resources": resources, "freshness": "Current"})
        items.append({"metadata": {"name": name} if name else {}, "versions": entries})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": AGGREGATED, "metadata": {}, "items": items}


class Sources(Protocol):
    """What discovery is made of; version is another after each change."""

    @property
    def version(self) -> Hashable: ...

    def kinds(self) -> tuple[Kind, ...]: ...

    def others(self) -> Others: ...


class Discovery:
    """All discovery documents of a set of kinds, each built when first asked for. address: host:port of the server."""

    def __init__(self, kinds: tuple[Kind, ...], address: str, others: Others = ALONE) -> None:
        self._kinds = kinds
        self._address = address
        self._others = others
        self._served = ordered((*group_versions(kinds), *others.places), others)
        named = {name: served for name, served in self._served.items() if name}
        below = (f"/apis/{name}{end}" for name, served in named.items() for end in ("", *(f"/{v}" for v in served)))
        self._paths = frozenset(("/api", "/apis", "/api/v1", *below))
        self._built: dict[tuple[str, bool], Obj | None] = {}

    def find(self, path: str, aggregated_form: bool) -> Obj | None:
        """The document at a path, plain or aggregated (which only /api and /apis have); None where none is.

        Shared: not to be changed.
        """
        key = (path.rstrip("/"), aggregated_form)
        if key not in self._built:
            self._built[key] = self._build(*key)
        return self._built[key]

    def paths(self) -> frozenset[str]:
        """Where there is a document."""
        return self._paths

    def _build(self, path: str, aggregated_form: bool) -> Obj | None:
        if path in ("/api", "/apis"):
            if aggregated_form:
                return aggregated(self._kinds, path == "/api", self._others)
            return versions(self._address) if path == "/api" else groups(self._kinds, self._others)
        if path == "/api/v1":
            return resource_list(self._kinds, "v1")
        parts = path.split("/")[2:]
        if path.startswith("/apis/") and parts[0] in self._served:
            if len(parts) == 1:
                return {"kind": "APIGroup", "apiVersion": "v1", **group(parts[0], self._served[parts[0]])}
            if len(parts) == 2 and tuple(parts) in group_versions(self._kinds):
                return resource_list(self._kinds, f"{parts[0]}/{parts[1]}")
        return None
