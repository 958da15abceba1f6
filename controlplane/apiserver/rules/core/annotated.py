"""What annotations hold as JSON of a type: fields from before they were fields."""

from __future__ import annotations

from functools import cache
from typing import Any

from apimachinery import jsontext
from apimachinery.objects import Obj
from apimachinery.schema import Node, Schema, Walker

_V1, _META, _LINK = "io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1.", "#/$defs/"
# Types that no field has any more, so that they are not published either.
_AVOIDED: dict[str, Obj] = {
    "AvoidPods": {"preferAvoidPods": {"type": "array", "items": {"$ref": f"{_LINK}{_V1}PreferAvoidPodsEntry"}}},
    "PreferAvoidPodsEntry": {
        "podSignature": {"$ref": f"{_LINK}{_V1}PodSignature"},
        "evictionTime": {"$ref": f"{_LINK}{_META}Time"},
        "reason": {"type": "string"},
        "message": {"type": "string"},
    },
    "PodSignature": {"podController": {"$ref": f"{_LINK}{_META}OwnerReference"}},
}


def read(text: str, type: str) -> tuple[Any, str]:
    """The value, None for none, and why there is none to be read, "" where there is. type: a key of the table below."""
    try:
        value = jsontext.loads(text.encode())
    except jsontext.JsonError as error:
        return None, str(error)
    return value, "" if value is None else _walker(type).check(value).error


@cache
def _walker(type: str) -> Walker:
    return Walker(_TYPES[type](Schema.load()))


def _avoided(schema: Schema) -> Node:
    more = schema.extended()
    more.add({f"{_V1}{name}": {"type": "object", "properties": fields} for name, fields in _AVOIDED.items()})
    return more.type(f"{_V1}AvoidPods")


_TYPES = {
    "taints": lambda schema: schema.type(f"{_V1}NodeSpec").fields["taints"],
    "tolerations": lambda schema: schema.type(f"{_V1}PodSpec").fields["tolerations"],
    "AvoidPods": _avoided,
}
