"""RuntimeClasses."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.resources import container_resource_name, requirements
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.words import hook, immutable, labels, name

_KEYS = ("key", "operator", "value", "effect")


def _overhead(overhead: Obj, at: Place) -> Iterator[FieldError]:
    return requirements({"limits": overhead.get("podFixed")}, at.path, container_resource_name)


def _repeated(scheduling: Obj, at: Place) -> Iterator[FieldError]:
    seen: set[tuple[str, ...]] = set()
    for index, toleration in enumerate(scheduling["tolerations"] or ()):
        key = tuple(toleration.get(field) or "" for field in _KEYS)
        if key in seen:
            shown = struct("core.v1.Toleration", toleration)
            yield errors.duplicate(f"{at.to('tolerations')}[{index}]", shown)
        seen.add(key)


RULES: dict[str, Row] = {
    "node.v1.RuntimeClass": (name("handler"), "overhead", "scheduling", immutable("handler")),
    "node.v1.Overhead": (hook(_overhead),),
    "node.v1.Scheduling": (labels("nodeSelector"), "tolerations", hook(_repeated, "tolerations")),
}
