"""The types of objects as their published schemas tell them, for expressions that are checked against a kind. Pure.

What a schema leaves open (a quantity, which is a text or a number) has no field there, as upstream has it; a field
whose name is a word of the language can also be named as upstream writes it, `__namespace__`; and what lies in itself
(a schema of schemas) has no fields there.
"""

from __future__ import annotations

import re

from apimachinery.cel.types.kinds import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    object_type,
)
from apimachinery.schema import Node

_SCALARS = {
    "boolean": BOOL,
    "bytes": BYTES,
    "int-or-string": DYN,
    "int32": INT,
    "int64": INT,
    "microtime": TIMESTAMP,
    "number": DOUBLE,
    "time": TIMESTAMP,
}
_FORMATS = {"byte": BYTES, "date": TIMESTAMP, "date-time": TIMESTAMP, "duration": DURATION}
RESERVED = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)
_ESCAPED = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ROOT = {"kind": STRING, "apiVersion": STRING}


def escaped(name: str) -> str:
    """A field's name as an expression writes it; "" for one that it cannot name."""
    if not name or name[0].isdigit() or re.search(r"[^\w.\-/]", name, re.ASCII):
        return ""
    if name in RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[.\-/]", lambda match: _ESCAPED[match.group()], name)


class PublishedTypes:
    """The types of some kinds' objects: each is named after its kind, with the way to it below that."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        # The types that each lies in.
        self._around: dict[str, frozenset[str]] = {}
        self._fields: dict[str, dict[str, Type]] = {}

    def add(self, name: str, node: Node) -> Type:
        """A whole object of a kind, under a name of the caller's choice."""
        self._nodes[name] = node
        fields = self._fields[name] = self._of(name, node)
        for field, given in _ROOT.items():
            fields.setdefault(field, given)
        if "metadata" not in fields or "generateName" not in self._of(f"{name}.metadata", node.fields["metadata"]):
            fields["metadata"] = object_type(f"{name}.metadata")
            self._fields[f"{name}.metadata"] = {"name": STRING, "generateName": STRING}
        return object_type(name)

    def known(self, name: str) -> bool:
        return name in self._nodes or name in self._fields

    def field(self, name: str, field: str) -> Type | None:
        if name not in self._fields:
            self._fields[name] = self._of(name, self._nodes[name])
        found = self._fields[name].get(field)
        return self._fields[name].get(f"__{field}__") if found is None and field in RESERVED else found

    def _of(self, name: str, node: Node) -> dict[str, Type]:
        around = self._around.get(name, frozenset()) | {node.type_name}
        made = ((escaped(field), self._type(f"{name}.{field}", child, around)) for field, child in node.fields.items())
        return {field: given for field, given in made if field and given is not None}

    def _type(self, name: str, node: Node, around: frozenset[str]) -> Type | None:
        if node.shape in _SCALARS:
            return _SCALARS[node.shape]
        if node.shape == "string":
            return _FORMATS.get(node.type_raw.get("format") or "", STRING)
        if node.element is not None:
            element = self._type(f"{name}.@{'idx' if node.shape == 'list' else 'elem'}", node.element, around)
            if element is None:
                return None
            return list_of(element) if node.shape == "list" else map_of(STRING, element)
        if node.shape in ("struct", "raw"):
            if node.type_name and node.type_name in around:
                self._fields[name] = {}
            else:
                self._nodes[name], self._around[name] = node, around
            return object_type(name)
        return None
