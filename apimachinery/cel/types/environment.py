"""What an expression may name: variables, functions, types. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from apimachinery.cel.types.kinds import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Overload,
    Type,
    list_of,
    map_of,
    object_type,
    optional_of,
)


class Types(Protocol):
    """Objects with fields, by the names of their types."""

    def known(self, name: str) -> bool:
        """Whether there is such a type."""
        ...

    def field(self, name: str, field: str) -> Type | None:
        """The type of a field of it; None where it has none."""
        ...


class NoTypes:
    """No objects: everything is made of plain values, lists and maps."""

    def known(self, name: str) -> bool:
        return False

    def field(self, name: str, field: str) -> Type | None:
        return None


Functions = Mapping[str, tuple[Overload, ...]]


def functions(*libraries: Iterable[Overload]) -> Functions:
    """The functions of libraries by their names."""
    found: dict[str, list[Overload]] = {}
    for library in libraries:
        for overload in library:
            found.setdefault(overload.function, []).append(overload)
    return {name: tuple(overloads) for name, overloads in found.items()}


@dataclass(frozen=True)
class Environment:
    """variables by their dotted names; binds: whether expressions may name values themselves, by `cel.bind`."""

    variables: Mapping[str, Type]
    functions: Functions
    types: Types = field(default_factory=NoTypes)
    binds: bool = False


_A, _B = Type("param", "A"), Type("param", "B")
# Types that can be named in an expression.
NAMED_TYPES: dict[str, Type] = {
    **{str(each): each for each in (BOOL, BYTES, DOUBLE, INT, STRING, UINT)},
    "null_type": NULL,
    "type": TYPE,
    "list": list_of(_A),
    "map": map_of(_A, _B),
    "optional_type": optional_of(Type("param", "V")),
    "google.protobuf.Duration": DURATION,
    "google.protobuf.Timestamp": TIMESTAMP,
    **{
        name: object_type(name)
        for name in (
            "kubernetes.NamedFormat",
            "kubernetes.Quantity",
            "kubernetes.Semver",
            "kubernetes.URL",
            "net.CIDR",
            "net.IP",
        )
    },
}
