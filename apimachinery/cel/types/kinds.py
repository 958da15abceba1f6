"""Types as the checker knows them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Type:
    """kind: what sort of type; name: of an object's, opaque or parameter's type; params: what it is made of."""

    kind: str
    name: str = ""
    params: tuple[Type, ...] = ()

    @cached_property
    def text(self) -> str:
        """As messages and `type()` of constants show it."""
        name = self.name or _SHOWN.get(self.kind, self.kind)
        return f"{name}({', '.join(param.text for param in self.params)})" if self.params else name

    @cached_property
    def size(self) -> int:
        """Of how many types it is made."""
        return 1 + sum(param.size for param in self.params)

    @cached_property
    def open(self) -> bool:
        """Whether it has parameters."""
        return self.kind == "param" or any(param.open for param in self.params)

    def __str__(self) -> str:
        return self.text


_SHOWN = {"null": "null", "error": "!error!"}
BOOL, BYTES, DOUBLE, INT, STRING, UINT = (Type(kind) for kind in ("bool", "bytes", "double", "int", "string", "uint"))
NULL, DYN, ERROR, DURATION, TIMESTAMP = (Type(kind) for kind in ("null", "dyn", "error", "duration", "timestamp"))
TYPE = Type("type")


def list_of(element: Type) -> Type:
    return Type("list", params=(element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", params=(key, value))


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def type_of(value: Type) -> Type:
    return Type("type", params=(value,))


def object_type(name: str) -> Type:
    return Type("object", name)


def opaque(name: str, *params: Type) -> Type:
    return Type("opaque", name, params)


def is_optional(given: Type) -> bool:
    return given.kind == "opaque" and given.name == "optional_type"


def unwrapped(given: Type) -> tuple[Type, bool]:
    """What an optional holds, and whether it is one."""
    return (given.params[0], True) if is_optional(given) else (given, False)


@dataclass(frozen=True)
class Overload:
    """One way to call a function: a target first where it is a member. cost: of a call with its result."""

    function: str
    member: bool
    args: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    cost: Callable[[tuple[Any, ...], Any], int] | None = None
    needs_budget: bool = False
    """The work is known beforehand only: cost is asked with None for the result before the call."""
    counts: bool = False
    """Its cost says nothing of its work: it is first given what that is told to, part by part."""

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The parameters of its types."""
        found: dict[str, None] = {}

        def walk(given: Type) -> None:
            if given.kind == "param":
                found[given.name] = None
            for param in given.params:
                walk(param)

        for each in (*self.args, self.result):
            walk(each)
        return tuple(found)
