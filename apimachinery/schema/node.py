"""One place in a schema: the type of a field, and how its value merges.

A Node belongs to a use of a type (a field, an element), because merge keys and list types are written at the use. Nodes
are made lazily and each place of each type exactly once, so recursive types (JSONSchemaProps) cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import Any, TypeVar

from apimachinery.schema.gonames import named

__all__ = ["FREE", "Node", "kept_with_it"]

T = TypeVar("T")

REF = "#/$defs/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."

NAMED_SHAPES = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    META + "Time": "time",
    META + "MicroTime": "microtime",
    META + "FieldsV1": "raw",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
# Definitions whose JSON is a duration text although the document says only "string".
DURATION = META + "Duration"

GO_SCALARS = {
    "string": "string",
    "boolean": "bool",
    "int32": "int32",
    "int64": "int64",
    "number": "float64",
    "bytes": "[]uint8",
    "quantity": "resource.Quantity",
    "int-or-string": "intstr.IntOrString",
    "time": "v1.Time",
    "microtime": "v1.MicroTime",
    "raw": "runtime.RawExtension",
    "any": "interface {}",
}


def short(type_name: str) -> str:
    """io.k8s.api.core.v1.Pod -> core.v1.Pod; the machinery's own types -> meta.v1.ObjectMeta."""
    return ".".join(type_name.split(".")[-3:])


class Node:
    """The type at one place.

    `shape` is one of struct, map, list, string, boolean, int32, int64, number, bytes, quantity, int-or-string, time,
    microtime, raw (any object), any. `type_name` is the definition's full name, "" for what has none. `named` is the
    name of a text's, list's or map's type where Go has one.
    """

    def __init__(
        self,
        raw: Mapping[str, Any],
        resolve: Callable[[str], Mapping[str, Any]],
        shared: dict[int, Node],
        inherits: bool = False,
    ) -> None:
        """inherits: it lies in a struct of a custom resource that takes members of any name."""
        self.raw = raw
        self._resolve = resolve
        self._shared = shared
        self.type_name = raw["$ref"][len(REF) :] if "$ref" in raw else ""
        self.type_raw = resolve(self.type_name) if self.type_name else raw
        self.shape = _shape(self.type_name, self.type_raw)
        self.named = ""
        self._inherits = inherits

    def _child(self, raw: Mapping[str, Any]) -> Node:
        # Keyed by identity: the raw document is never copied and lives as long as the schema.
        found = self._shared.get(id(raw))
        if found is None:
            opens = self.preserves_unknown or (self._inherits and not self.type_name)
            found = self._shared[id(raw)] = Node(raw, self._resolve, self._shared, opens)
        return found

    @cached_property
    def fields(self) -> Mapping[str, Node]:
        """The fields of a struct, by JSON name; empty for everything else."""
        if self.shape not in ("struct", "any"):
            return {}
        found = {name: self._child(raw) for name, raw in (self.type_raw.get("properties") or {}).items()}
        for name, child in found.items():
            child.named = child.named or named(short(self.type_name), name)
        return found

    @cached_property
    def element(self) -> Node | None:
        """The type of a list's items or of a map's values."""
        if self.shape == "list":
            item = self._child(self.type_raw["items"])
            item.named = item.named or self.named.removeprefix("[]")
            return item
        if self.shape == "map":
            return self._child(self.type_raw["additionalProperties"])
        return None

    @cached_property
    def rest(self) -> Node | None:
        """The type of a member that has no field of its own; None where there can be none."""
        opens = self.shape == "struct" and (self.preserves_unknown or (self._inherits and not self.type_name))
        if opens or (self.shape in ("any", "raw") and self.type_name not in _WHOLE):
            return FREE
        return self.element if self.shape == "map" else None

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset(self.type_raw.get("required") or ())

    def at(self, *path: str) -> Node | None:
        """The node below: a field's name, or any name for a list's items and a map's values."""
        node: Node | None = self
        for name in path:
            if node is None:
                return None
            node = node.fields.get(name) if node.shape == "struct" else node.element
        return node

    def extension(self, name: str) -> Any:
        """An `x-kubernetes-…` value, of this use or else of the type."""
        key = "x-kubernetes-" + name
        return self.raw[key] if key in self.raw else self.type_raw.get(key)

    @cached_property
    def merge_key(self) -> str:
        """The key by which a strategic merge tells this list's items apart, or ""."""
        return self.extension("patch-merge-key") or ""

    @cached_property
    def strategies(self) -> frozenset[str]:
        """The strategic merge strategies: merge, retainKeys, replace."""
        return frozenset((self.extension("patch-strategy") or "").split(",")) - {""}

    @cached_property
    def list_type(self) -> str:
        """How server-side apply sees a list: atomic, set or map."""
        return self.extension("list-type") or "atomic"

    @cached_property
    def list_map_keys(self) -> tuple[str, ...]:
        return tuple(self.extension("list-map-keys") or ())

    @cached_property
    def granular(self) -> bool:
        """Whether server-side apply sees a struct's or map's parts, rather than one value."""
        return (self.shape == "struct" or self.rest is not None) and self.extension("map-type") != "atomic"

    @cached_property
    def preserves_unknown(self) -> bool:
        """Whether unknown fields stay (custom resources only)."""
        return bool(self.type_raw.get("x-kubernetes-preserve-unknown-fields"))

    @cached_property
    def description(self) -> str:
        return self.raw.get("description") or self.type_raw.get("description") or ""

    @cached_property
    def struct_name(self) -> str:
        """The bare type name that error texts use: "PodSpec"."""
        return self.type_name.rpartition(".")[2]

    @cached_property
    def go_type(self) -> str:
        """The type's name as upstream's decoder prints it: "v1.PodSpec", "[]v1.Container",
        "map[string]string".
        """
        if self.named:
            return self.named
        if self.shape == "struct":
            package, _, name = self.type_name.rpartition(".")
            return f"{package.rpartition('.')[2]}.{name}"
        if self.shape == "list" and self.element:
            return "[]" + self.element.go_type
        if self.shape == "map" and self.element:
            return "map[string]" + self.element.go_type
        return GO_SCALARS[self.shape]


# Untyped values that are one value each, whatever they hold.
_WHOLE = frozenset((META + "FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension"))


def kept_with_it(ask: Callable[[Node], T]) -> Callable[[Node], T]:
    """`ask`, whose answer is found once for each node and goes with it: those of custom resources are made anew
    whenever a definition comes, changes or goes."""
    key = f"{ask.__module__}.{ask.__qualname__}"

    @wraps(ask)
    def answer(node: Node) -> T:
        kept: dict[str, T] = vars(node)
        if key not in kept:
            kept[key] = ask(node)
        return kept[key]

    return answer


def _shape(name: str, raw: Mapping[str, Any]) -> str:
    if name in NAMED_SHAPES:
        return NAMED_SHAPES[name]
    if raw.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    declared = raw.get("type")
    if isinstance(declared, list):
        declared = next((one for one in declared if one != "null"), None)
    if declared == "object":
        return _object_shape(raw)
    if declared == "array":
        return "list" if "items" in raw else "any"
    if declared == "integer":
        return "int32" if raw.get("format") == "int32" else "int64"
    if declared == "string":
        return "bytes" if raw.get("format") == "byte" else "string"
    return declared if declared in ("boolean", "number") else "any"


def _object_shape(raw: Mapping[str, Any]) -> str:
    if isinstance(raw.get("additionalProperties"), Mapping):
        return "map"
    if raw.get("properties") or raw.get("additionalProperties") is False:
        return "struct"
    return "raw"


def _unknown(name: str) -> Mapping[str, Any]:
    raise KeyError(name)


FREE = Node({}, _unknown, {})
"""Any value: the members of its maps are owned one by one, its lists are one value each."""
