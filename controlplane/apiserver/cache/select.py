"""Which objects a list or watch is about: scope, label selector and field selector compiled to one predicate."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apimachinery import errors, selectors
from apimachinery.kinds import Kind
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.cache.selectable import Getter, Selectable, getters


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

    @property
    def wide(self) -> Selection:
        """The same, whatever is in an object's fields."""
        return replace(self, fields=())

    def matches(self, entry: Entry) -> bool:
        if self.namespace and entry.namespace != self.namespace:
            return False
        if self.name and entry.name != self.name:
            return False
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return all((read(entry.obj) == value) is equal for read, equal, value in self.fields)


def parse(kind: Kind, fields: Selectable, namespace: str, name: str, label_text: str, field_text: str) -> Selection:
    """Compile a request's selectors. Raises BadRequest with upstream's text."""
    labels = selectors.parse_labels(label_text) if label_text else None
    wanted: list[tuple[Getter, bool, str]] = []
    node = ""
    if field_text:
        known = getters(fields, kind.namespaced)
        requirements = selectors.parse_fields(field_text).requirements
        for requirement in requirements:
            if requirement.path not in known:
                raise errors.BadRequest(fields.refusal.format(path=requirement.path))
        named = next((r.value for r in requirements if r.path == "metadata.name" and r.operator != "!="), "")
        if name and requirements and named != name:
            raise errors.BadRequest("fieldSelector metadata.name doesn't match requested name")
        name = named or name
        for requirement in requirements:
            path, value = requirement.path, requirement.value
            equal = requirement.operator != "!="
            if equal and path == fields.node:
                node = value
            wanted.append((known[path], equal, value))
    return Selection(namespace, name, node, labels, tuple(wanted))
