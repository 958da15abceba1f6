"""When zero is absence: what the API leaves out of an object, and what it always writes.

The API's own types tell zero from absent only where a field is a pointer. So an optional plain field that is
zero is not there when the object is read back; and a required field, or a struct that is no pointer, is there
even when nobody set it ("resources": {}, "rules": null). A list or map that came empty stays until the object is
completed: what it is then is its reader's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apimachinery.data import wire_fields
from apimachinery.schema.node import Node, kept_with_it

__all__ = ["NOTHING", "TELLING_WHEN_EMPTY", "Presence", "presence"]

Make = Callable[[], Any]

ZEROS: dict[str, Any] = {
    "string": "",
    "boolean": False,
    "int32": 0,
    "int64": 0,
    "number": 0,
    "quantity": "0",
    "int-or-string": 0,
}
# Set per object by the API machinery, never as a zero of the type.
NAMES_OF_TYPE = ("apiVersion", "kind")
# Lists that say something when they are empty: forget every owner (whoever records owners removes it), and use none of
# the policies that come in where none are given (whoever checks objects refuses it).
TELLING_WHEN_EMPTY = frozenset(("meta.v1.ObjectMeta.managedFields", "autoscaling.v2.HPAScalingRules.policies"))


@dataclass(frozen=True)
class Presence:
    """For one struct: the fields whose zero value is left out, and makers of what is always written."""

    dropped: frozenset[str]
    filled: tuple[tuple[str, Make], ...]


NOTHING = Presence(frozenset(), ())


@kept_with_it
def presence(node: Node) -> Presence:
    """The rules of a struct; types of custom resources have none."""
    message = wire_fields.of_definition(node.type_name)
    if message is None:
        return NOTHING
    dropped = set()
    filled: list[tuple[str, Make]] = []
    for field in wire_fields.message_of(message):
        below = node.fields.get(field.name)
        if below is None or field.name in NAMES_OF_TYPE:
            continue
        always = field.always or (field.name in node.required and not field.omit_zero)
        collection = field.repeated or field.is_map or below.shape in ("list", "map")
        # Whether a list or map came empty is told until it is stored: whoever completes objects takes them away.
        if not (collection or always or field.is_message) and (below.shape == "bytes" or not field.pointer):
            dropped.add(field.name)
        if always or (field.is_message and not field.pointer and not collection and not field.omit_zero):
            make = _constant(None) if collection or field.pointer else _zero(below)
            filled.append((field.name, make))
    return Presence(frozenset(dropped), tuple(filled))


def _constant(value: Any) -> Make:
    return lambda: value


def _zero(node: Node) -> Make:
    if node.shape != "struct":
        return _constant(ZEROS.get(node.shape))

    # The inner rules are looked up on use: a type may hold itself.
    def make() -> dict[str, Any]:
        return {name: below() for name, below in presence(node).filled}

    return make
