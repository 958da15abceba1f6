"""One kind as the API server serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.selectable import NOTHING_MORE, Selectable
from controlplane.apiserver.catalog.custom import Custom
from controlplane.apiserver.catalog.strategy import PLAIN, Strategy
from controlplane.apiserver.conversion import Conversion
from controlplane.apiserver.tables.plain import NAME_AND_BIRTH
from controlplane.apiserver.tables.spec import Table

# Where upstream keeps the objects of a kind, if not under its plural.
_ELSEWHERE = {
    "apiservices.apiregistration.k8s.io": "apiregistration.k8s.io/apiservices",
    "customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/customresourcedefinitions",
    "endpoints": "services/endpoints",
    "ingresses.networking.k8s.io": "ingress",
    "nodes": "minions",
    "replicationcontrollers": "controllers",
    "services": "services/specs",
}


@dataclass(frozen=True)
class Resource:
    """One version of one kind.

    kind: names, scope, verbs, subresources; kind.storage says whose objects these are, where several versions or groups
    show the same.
    strategy: the life of an object; columns: how `kubectl get` shows it; fields: what lists and watches may select on.
    conversion: between this version and the one that objects are stored under, where that is another.
    deprecated: the warning that every answer carries.
    custom: what is served of a CustomResourceDefinition, which may change while the server runs.
    served: clients may ask for it; otherwise objects are only kept in it.
    told: the kind as discovery tells it, where that is less than what is served.
    definitions: the types of a kind that upstream does not publish, as JSON schemas by their full names; the one of the
    kind itself carries x-kubernetes-group-version-kind. Empty for all that the published definitions hold.
    """

    kind: Kind
    strategy: Strategy = PLAIN
    columns: Table = NAME_AND_BIRTH
    fields: Selectable = NOTHING_MORE
    conversion: Conversion | None = None
    deprecated: str = ""
    custom: Custom | None = None
    served: bool = True
    told: Kind | None = None
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether objects of it are stored: what can be watched is."""
        return "watch" in self.kind.verbs

    @property
    def folder(self) -> str:
        """Where upstream keeps the objects in etcd, below its prefix. A custom resource is the only one whose folder is
        in its group's."""
        plain = f"{self.kind.group}/{self.kind.plural}" if self.definitions else self.kind.plural
        return _ELSEWHERE.get(self.kind.storage, plain)
