"""The slow pass: what is wrong with an object, in the words of upstream's decoder.

That decoder remembers the first wrong type and goes on, but stops at once at a value with a spelling of its own (a
quantity, a time), whose error then is the one shown. Paths in type errors name fields only; paths of unknown fields
carry indices.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from apimachinery.jsontext import type_of
from apimachinery.schema import presence, scalars
from apimachinery.schema.gonames import embedded
from apimachinery.schema.node import GO_SCALARS, Node, short

__all__ = ["Findings", "diagnose"]

ACCEPTED: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "int32": (int,),
    "int64": (int,),
    "number": (int, float),
    "struct": (dict,),
    "map": (dict,),
    "list": (list,),
    "raw": (dict,),
}
RANGES = {"int32": 2**31, "int64": 2**63}
# What upstream's decoder makes of a null that is an item of a list or a value of a map.
ZEROS: dict[str, Any] = {**presence.ZEROS, "bytes": ""}
SPELLED = {
    "quantity": scalars.quantity_text,
    "int-or-string": scalars.int_or_string,
    "time": scalars.timestamp,
    "microtime": scalars.microtime,
}


@dataclass(frozen=True)
class Findings:
    """What a check found: the first error (upstream's text, "" when none) and the unknown fields' paths in order."""

    error: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def unknown_texts(self) -> tuple[str, ...]:
        """`unknown field "spec.foo"`, as warnings and strict errors have it."""
        return tuple(f'unknown field "{path}"' for path in self.unknown)


def diagnose(node: Node, obj: Any, converting: bool = False) -> Findings:
    """Findings about an object that the quick pass stumbled over; changes it in place likewise.

    `converting` says that the object is no body but the result of a merge: upstream then takes whole floats for
    integers, and has other words for the first wrong type, where it stops.
    """
    visit = _Conversion() if converting else _Visit()
    try:
        visit.value(node, obj, "", "", "")
    except scalars.DecodeError as error:
        return Findings(str(error), tuple(visit.unknown))
    return Findings(visit.error, tuple(visit.unknown))


class _Visit:
    def __init__(self) -> None:
        self.error = ""
        self.unknown: list[str] = []

    def value(self, node: Node, value: Any, struct: str, fields: str, path: str) -> Any:
        """The canonical value; `struct` and `fields` name the place for type errors, `path` for unknown
        fields.
        """
        if value is None or node.shape == "any":
            return value
        if node.shape in SPELLED:
            try:
                return SPELLED[node.shape](value)
            except scalars.DecodeError as error:
                raise scalars.DecodeError(self._placed(str(error), struct, fields)) from None
        if node.shape == "bytes":
            return self._bytes(node, value, struct, fields)
        accepted = ACCEPTED[node.shape]
        if type(value) not in accepted or not _in_range(node.shape, value):
            self._mistyped(node, value, struct, fields)
            return None
        if node.shape == "struct":
            self._struct(node, value, fields, path)
        elif node.shape == "list" and node.element:
            for index, item in enumerate(value):
                value[index] = self._item(node.element, item, struct, fields, f"{path}[{index}]")
        elif node.shape == "map" and node.element:
            for name, item in value.items():
                below = f"{path}.{name}" if path else name
                value[name] = self._item(node.element, item, struct, fields, below)
        return value

    def _placed(self, error: str, struct: str, fields: str) -> str:
        """A type error from a type with a spelling of its own is told with its place, as any other."""
        if not error.startswith("json: ") or not fields:
            return error
        return error.replace("into Go value of", f"into Go struct field {struct}.{fields} of", 1)

    def _item(self, node: Node, value: Any, struct: str, fields: str, path: str) -> Any:
        if value is None:
            return {} if node.shape == "struct" else ZEROS.get(node.shape)
        return self.value(node, value, struct, fields, path)

    def _struct(self, node: Node, value: dict[str, Any], fields: str, path: str) -> None:
        for name in list(value):
            below = f"{path}.{name}" if path else name
            field = node.fields.get(name)
            if field is None:
                if not node.preserves_unknown:
                    self.unknown.append(below)
                    del value[name]
                continue
            inner = embedded(short(node.type_name), name)
            places = ".".join(part for part in (fields, inner, name) if part)
            new = self.value(field, value[name], node.struct_name, places, below)
            if new is None:
                del value[name]
            else:
                value[name] = new

    def _bytes(self, node: Node, value: Any, struct: str, fields: str) -> Any:
        if isinstance(value, list):
            return self._octets(value, struct, fields)
        if not isinstance(value, str):
            self._mistyped(node, value, struct, fields)
            return None
        try:
            return scalars.base64_text(value)
        except scalars.DecodeError as error:
            self.error = self.error or str(error)
            return None

    def _octets(self, values: list[Any], struct: str, fields: str) -> str:
        """Bytes as Go reads any list, too: a number for each."""
        found = bytearray()
        for value in values:
            if value is None or (type(value) is int and 0 <= value < 256):
                found.append(value or 0)
            else:
                shown = f"number {value!r}" if type_of(value) == "number" else type_of(value)
                self._unfit(shown, struct, fields, "uint8")
        return base64.b64encode(found).decode()

    def _mistyped(self, node: Node, value: Any, struct: str, fields: str) -> None:
        shown = type_of(value)
        if shown == "number" and node.shape in RANGES:
            shown = f"number {value!r}"
        self._unfit(shown, struct, fields, node.go_type)

    def _unfit(self, shown: str, struct: str, fields: str, go_type: str) -> None:
        where = f"Go struct field {struct}.{fields}" if fields else "Go value"
        self.error = self.error or f"json: cannot unmarshal {shown} into {where} of type {go_type}"


def _in_range(shape: str, value: Any) -> bool:
    limit = RANGES.get(shape)
    return limit is None or -limit <= value < limit


class _Conversion(_Visit):
    """Upstream's reading of untyped values into typed ones, after a merge."""

    def value(self, node: Node, value: Any, struct: str, fields: str, path: str) -> Any:
        if isinstance(value, float) and node.shape in RANGES and value.is_integer():
            value = int(value)
        if type(value) is int and (limit := RANGES.get(node.shape)):
            # A conversion between Go's integers keeps the low bits.
            value = (value + limit) % (2 * limit) - limit
        return super().value(node, value, struct, fields, path)

    def _placed(self, error: str, struct: str, fields: str) -> str:
        return error

    def _bytes(self, node: Node, value: Any, struct: str, fields: str) -> Any:
        if isinstance(value, list):
            return self._octets(value, struct, fields)
        if not isinstance(value, str):
            raise scalars.DecodeError(f"cannot restore slice from {GO_KINDS.get(type(value), '')}")
        try:
            return scalars.base64_text(value)
        except scalars.DecodeError as error:
            raise scalars.DecodeError(f"error decoding from json: {error}") from None

    def _octets(self, values: list[Any], struct: str, fields: str) -> str:
        if any(value is not None and type(value) is not int for value in values):
            raise scalars.DecodeError("unrecognized type: uint8")
        return base64.b64encode(bytes((value or 0) % 256 for value in values)).decode()

    def _mistyped(self, node: Node, value: Any, struct: str, fields: str) -> None:
        kind = GO_KINDS.get(type(value), "")
        if node.shape == "struct":
            raise scalars.DecodeError(f"cannot restore struct from: {kind}")
        if node.shape in ("map", "list"):
            restored = "map" if node.shape == "map" else "slice"
            raise scalars.DecodeError(f"cannot restore {restored} from {kind}")
        number = type(value) in (int, float)
        if number and node.shape in CONVERTIBLE and not (node.shape == "string" and kind == "float64"):
            raise scalars.DecodeError(f"cannot convert {kind} to {node.go_type}")
        raise scalars.DecodeError(f"unrecognized type: {GO_SCALARS[node.shape]}")


GO_KINDS = {dict: "map", list: "slice", str: "string", int: "int64", float: "float64", bool: "bool"}
CONVERTIBLE = ("string", "int32", "int64", "number")
