"""Where the walker stands in an object, and the words that rules are built from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.schema import Node

Found = list[FieldError]


@dataclass
class About:
    """The whole that is checked.

    kind: "Pod". version: the API version its writer used, "" when that does not matter. old: the object before
    a change, None for a new one. notes: what rules of one type tell rules of another, by a name of their choice.
    """

    kind: str
    new: Obj
    old: Obj | None = None
    version: str = ""
    notes: dict[str, Any] = field(default_factory=dict)


class Place:
    """One struct of an object: what it holds, what it held, and the way to it.

    up: the struct around it, None at the top. name, index: the field of that struct it lies in, as messages show
    it, with its index (or key) in a list (or map). value: the struct. old: what stood there before a change; None
    for what is new, and for what lies in lists, whose items have no lasting place. mates: what the items of one
    list, who share a place, leave for each other.
    """

    __slots__ = ("about", "index", "mates", "name", "old", "up", "value")

    def __init__(
        self,
        up: Place | None,
        name: str,
        index: int | str | None,
        value: Obj,
        old: Obj | None,
        about: About,
    ) -> None:
        self.up = up
        self.name = name
        self.index = index
        self.value = value
        self.old = old
        self.about = about
        self.mates: dict[str, set[Any]] | None = None

    @property
    def path(self) -> str:
        """ "spec.containers[0]"; made only when something is wrong."""
        around = self.up.path if self.up is not None else ""
        here = self.name if self.index is None else f"{self.name}[{self.index}]"
        return f"{around}.{here}" if around and here else around or here

    def to(self, field: str) -> str:
        """The path of a field of this struct."""
        here = self.path
        return f"{here}.{field}" if here else field

    def seen(self, what: str) -> set[Any]:
        """What items before this one of the same list have left for it, by a name of the rule's choice."""
        if self.mates is None:
            self.mates = {}
        found: set[Any] = self.mates.setdefault(what, set())
        return found

    def above(self, levels: int = 1) -> Place:
        """The place so many structs up; raises IndexError above the top."""
        place: Place | None = self
        for _ in range(levels):
            place = place.up if place is not None else None
        if place is None:
            raise IndexError(f"nothing {levels} levels above {self.path}")
        return place


def is_new(value: Obj, at: Place) -> bool:
    """Whether the whole is new."""
    return at.about.old is None


def exists(value: Obj, at: Place) -> bool:
    """Whether the whole is changed."""
    return at.about.old is not None


Step = Callable[[Obj, Place, Found], None]
# A hook: what is wrong with a struct, given the struct and where it stands.
Hook = Callable[[Obj, Place], Iterable[FieldError]]


class Rows(Protocol):
    """The rows of all types, as an entry sees them that is bound to a type."""

    def __contains__(self, key: str, /) -> bool: ...

    def row(self, key: str) -> Row: ...

    def compiled(self, row: Row, node: Node) -> Step:
        """One function of a row's entries; raises KeyError for a field that the type does not have."""


@dataclass(frozen=True)
class Rule:
    """One entry of a row.

    bind: makes the step for a type; None when there is nothing to do. fields: those of the type it reads, which
    the type must have. only_with: the step has nothing to say of structs without this field, and is not even asked.
    sound: the step runs after all others and only where none found anything.
    """

    bind: Callable[[Node, Rows], Step | None]
    fields: tuple[str, ...] = ()
    only_with: str | None = None
    sound: bool = False


# An entry that is a text is the name of a field whose own rules come in here.
Row = tuple[Rule | str, ...]


def plain(step: Step, *fields: str) -> Rule:
    """A rule whose step needs to know nothing of the type."""
    return Rule(lambda node, rules: step, fields)


def of_field(step: Step, field: str) -> Rule:
    """A plain rule of one field, with nothing to say where it is absent."""
    return Rule(lambda node, rules: step, (field,), only_with=field)
