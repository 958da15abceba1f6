"""What of an object is what it was before: such parts are not judged by rules that came later. Pure.

Source: KEP-4008 (ratcheting of the validation of custom resources).
"""

from __future__ import annotations

from typing import Any

from apimachinery.objects import same
from controlplane.apiserver.structural.node import Structural
from controlplane.apiserver.structural.once import Once


class Correlated:
    """A value and the one in its place before, as far as its schema tells which that is."""

    def __init__(self, new: Any, old: Any, schema: Structural) -> None:
        self._new, self._old, self._schema = new, old, schema
        self._children: dict[str | int, Correlated | None] = {}

    def key(self, name: str) -> Correlated | None:
        """A member; None where it was not there, or its schema says nothing of it."""
        if name not in self._children:
            self._children[name] = self._member(name)
        return self._children[name]

    def _member(self, name: str) -> Correlated | None:
        new, old, part = self._new, self._old, self._schema.below(name)
        if not isinstance(new, dict) or not isinstance(old, dict) or part is None:
            return None
        return Correlated(new[name], old[name], part) if name in new and name in old else None

    def index(self, place: int) -> Correlated | None:
        """An item; None unless it is known by its keys, and was there."""
        if place not in self._children:
            self._children[place] = self._item(place)
        return self._children[place]

    def _item(self, place: int) -> Correlated | None:
        items = self._schema.items
        if items is None or not isinstance(self._new, list):
            return None
        old = self._earlier.of(self._new[place])
        return None if old is None else Correlated(self._new[place], old, items)

    @Once
    def _earlier(self) -> Earlier:
        return Earlier(self._schema, self._old)

    @Once
    def same(self) -> bool:
        """Whether it is what it was, in all its parts that can be told."""
        new, old = self._new, self._old
        if new is None or old is None:
            return new is old
        if isinstance(new, dict) and isinstance(old, dict):
            return len(new) == len(old) and all((part := self.key(name)) is not None and part.same for name in new)
        if not isinstance(new, list) or not isinstance(old, list):
            return same(new, old)
        if not self._earlier:
            return same(new, old)
        return len(new) == len(old) and all(
            (part := self.index(place)) is not None and part.same for place in range(len(new))
        )


class Earlier:
    """The items of a list as it was, by their keys; true where its items have some."""

    def __init__(self, schema: Structural, old: Any) -> None:
        fit = schema.type == "array" and schema.list_type == "map" and schema.map_keys and isinstance(old, list) and old
        self._keys = schema.map_keys if fit else ()
        self._items: dict[tuple[Any, ...], Any] = {}
        for item in old if fit else ():
            if (key := self._key(item)) is not None:
                self._items.setdefault(key, item)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def of(self, item: Any) -> Any:
        """What the item was; None where there was none."""
        key = self._key(item) if self._keys else None
        return None if key is None else self._items.get(key)

    def _key(self, item: Any) -> tuple[Any, ...] | None:
        if not isinstance(item, dict):
            return None
        found = [item.get(name) for name in self._keys]
        if not all(isinstance(value, bool | int | float | str) for value in found):
            return None
        return tuple((type(value), value) for value in found)
