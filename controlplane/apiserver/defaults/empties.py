"""Lists and maps that a writer sent empty. They are not kept, but upstream's own types hold them until an object is
stored: its messages show them, and some kinds count them as a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from apimachinery.objects import Obj, copy


class Empties:
    """Those of one write, by the struct that they were taken from."""

    def __init__(self) -> None:
        # With the struct itself, so that no other can come to lie where it lay.
        self._of: dict[int, tuple[Obj, dict[str, Any]]] = {}

    def note(self, struct: Obj, field: str, value: Any) -> None:
        self._of.setdefault(id(struct), (struct, {}))[1][field] = value

    def of(self, struct: Obj, field: str) -> Any:
        """[] or {}; None where nothing empty was written."""
        found = self._of.get(id(struct))
        return None if found is None else found[1].get(field)

    def copied(self, value: Any) -> Any:
        """A deep copy, its structs noted as what they were copied from."""
        if not self._of:
            return copy(value)
        if isinstance(value, list):
            return [self.copied(item) for item in value]
        if not isinstance(value, dict):
            return value
        made = {name: self.copied(item) for name, item in value.items()}
        if id(value) in self._of:
            self._of[id(made)] = (made, self._of[id(value)][1])
        return made

    def within(self, value: Any) -> bool:
        """Whether anything was written empty in a value or anywhere below it, and has not got its default since."""
        if not self._of:
            return False
        if isinstance(value, dict):
            noted = self._of[id(value)][1] if id(value) in self._of else ()
            return not all(map(value.get, noted)) or any(map(self.within, value.values()))
        return isinstance(value, list) and any(map(self.within, value))


_current: ContextVar[Empties | None] = ContextVar("empties", default=None)


@contextmanager
def known(found: Empties) -> Iterator[None]:
    """What is taken away meanwhile is noted there, and `written` answers from there."""
    token = _current.set(found)
    try:
        yield
    finally:
        _current.reset(token)


def note(struct: Obj, field: str, value: Any) -> None:
    """An empty list or map is about to be taken away."""
    if (found := _current.get()) is not None:
        found.note(struct, field, value)


def copied(value: Any) -> Any:
    """A private copy, of which is known what of it was written empty."""
    found = _current.get()
    return copy(value) if found is None else found.copied(value)


def written(struct: Obj, field: str) -> Any:
    """A list or map as its writer wrote it: empty as it may be; None where there was none."""
    value = struct.get(field)
    if value is None and (found := _current.get()) is not None:
        return found.of(struct, field)
    return value
