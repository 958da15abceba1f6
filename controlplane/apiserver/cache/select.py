"""Which objects a list or watch is about: scope, label selector and field selector compiled to one
predicate.
"""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery import errors, selectors
from apimachinery.kinds import Kind
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.cache.fields import Getter, getters


@dataclass(frozen=True)
class Selection:
    """namespace "" is all of them; name and node narrow what has to be looked at and are part of the
    predicate.
    """

    namespace: str = ""
    name: str = ""
    node: str = ""
    labels: selectors.LabelSelector | None = None
    fields: tuple[tuple[Getter, bool, str], ...] = ()

    @property
    def plain(self) -> bool:
        """Scope alone decides."""
        return self.labels is None and not self.fields

    def matches(self, entry: Entry) -> bool:
        if self.namespace and entry.namespace != self.namespace:
            return False
        if self.name and entry.name != self.name:
            return False
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return all((read(entry.obj) == value) is equal for read, equal, value in self.fields)


def parse(kind: Kind, namespace: str, name: str, label_text: str, field_text: str) -> Selection:
    """Compile a request's selectors. Raises BadRequest with upstream's text."""
    labels = selectors.parse_labels(label_text) if label_text else None
    wanted: list[tuple[Getter, bool, str]] = []
    node = ""
    if field_text:
        known = getters(kind.resource, kind.namespaced)
        for requirement in selectors.parse_fields(field_text).requirements:
            path, value = requirement.path, requirement.value
            if path not in known:
                raise errors.BadRequest(_unknown(kind, path))
            equal = requirement.operator != "!="
            if equal and path == "metadata.name":
                if name and name != value:
                    raise errors.BadRequest("fieldSelector metadata.name does not match requested name")
                name = value
            if equal and path == "spec.nodeName" and kind.resource == "pods":
                node = value
            wanted.append((known[path], equal, value))
    return Selection(namespace, name, node, labels, tuple(wanted))


def _unknown(kind: Kind, path: str) -> str:
    if kind.resource == "jobs.batch":
        return f'field label "{path}" not supported for Job'
    if kind.resource in _TYPED_TEXT:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


_TYPED_TEXT = frozenset(
    {
        "pods",
        "nodes",
        "replicationcontrollers",
        "events",
        "namespaces",
        "secrets",
        "services",
        "events.events.k8s.io",
        "certificatesigningrequests.certificates.k8s.io",
        "clustertrustbundles.certificates.k8s.io",
        "podcertificaterequests.certificates.k8s.io",
        "resourceslices.resource.k8s.io",
    }
)
