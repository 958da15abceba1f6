"""What is known of a policy's variables at each place of their list: the types of those before it. Pure.

There are as many such places as variables, and each is part of what expressions are compiled for. So places of one list
share what they know, and whoever comes to a place by the same way again has the same: places are compared by identity.
"""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from apimachinery.cel.types.kinds import Type


class _List:
    """The types of all variables of one list: each with how many stood before it."""

    def __init__(self) -> None:
        self.length = 0
        self.types: dict[str, list[tuple[int, Type]]] = {}

    def add(self, name: str, kind: Type) -> None:
        self.types.setdefault(name, []).append((self.length, kind))
        self.length += 1


class Known:
    """The variables before a place. A name that stands there twice is known by its last."""

    __slots__ = ("__weakref__", "_before", "_length", "_list")

    def __init__(self, before: Known | None = None, whole: _List | None = None) -> None:
        # Kept for as long as this is: who asks for what follows it finds it by its identity.
        self._before = before
        self._list = _List() if whole is None else whole
        self._length = self._list.length

    def __bool__(self) -> bool:
        return self._length > 0

    def get(self, name: str) -> Type | None:
        """A variable's type."""
        return next((kind for at, kind in reversed(self._list.types.get(name, ())) if at < self._length), None)

    def followed(self, name: str, kind: Type) -> Known:
        """What is known behind one more."""
        with _lock:
            place = id(self), name, kind
            found = _followed.get(place)
            if found is None:
                whole = self._list if self and self._length == self._list.length else self._copied()
                whole.add(name, kind)
                found = _followed[place] = Known(self, whole)
            return found

    def _copied(self) -> _List:
        """The list up to here: another one goes on otherwise."""
        copied = _List()
        copied.length = self._length
        for name, many in self._list.types.items():
            if before := [each for each in many if each[0] < self._length]:
                copied.types[name] = before
        return copied


# Policies are read beside the loop, too.
_lock = threading.Lock()
_followed: WeakValueDictionary[tuple[int, str, Type], Known] = WeakValueDictionary()

NOTHING = Known()
"""Before the first."""
