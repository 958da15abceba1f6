"""Which objects a list or watch is about: scope, label selector and field selector compiled to one predicate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from apimachinery import errors, selectors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.cache.selectable import Getter, Selectable, getters
from controlplane.apiserver.offloop import off_loop

WEIGHT = 32
"""How many bytes of a body a character of a selector is worth in work."""


@dataclass(frozen=True)
class Selection:
    """namespace "" is all of them; name and node narrow what has to be looked at and are part of the
    predicate. fields: how each is read, what it has to be (nothing can be several texts), and what it may not be.
    """

    namespace: str = ""
    name: str = ""
    node: str = ""
    labels: selectors.LabelSelector | None = None
    fields: tuple[tuple[Getter, frozenset[str], frozenset[str]], ...] = ()

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
        return not self.fields or self.fits(entry.obj)

    def fits(self, obj: Obj) -> bool:
        """Whether an object's fields are as they are asked for."""
        for read, wanted, barred in self.fields:
            value = read(obj)
            if value in barred or (wanted and wanted != {value}):
                return False
        return True


async def parsed(
    kind: Kind, fields: Selectable, namespace: str, name: str, label_text: str, field_text: str
) -> Selection:
    """The same as parse(), of long texts beside the loop."""
    size = WEIGHT * (len(label_text) + len(field_text))
    return await off_loop(size, parse, kind, fields, namespace, name, label_text, field_text)


def parse(kind: Kind, fields: Selectable, namespace: str, name: str, label_text: str, field_text: str) -> Selection:
    """Compile a request's selectors. Raises BadRequest with upstream's text."""
    labels = selectors.parse_labels(label_text) if label_text else None
    wanted: dict[str, tuple[set[str], set[str]]] = {}
    known: Mapping[str, Getter] = {}
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
            # However many there are, an object is read for each field once.
            wanted.setdefault(path, (set(), set()))[0 if equal else 1].add(value)
    held = tuple((known[path], frozenset(equal), frozenset(barred)) for path, (equal, barred) in wanted.items())
    return Selection(namespace, name, node, labels, held)
