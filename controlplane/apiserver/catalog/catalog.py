"""The kinds that a server serves at the moment."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import Schema
from controlplane.apiserver.catalog.custom import Custom
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import PLAIN, Strategy
from controlplane.apiserver.conversion import Conversion

T = TypeVar("T")
Follower = Callable[[Resource, bool], None]


class Catalog:
    """An ordered set of rows, at most one for a group, version and plural. Belongs to the server's event loop.

    The order is that of discovery: the first version of a group is the preferred one. version counts the changes, so
    that documents made of the catalog know when they are stale.
    """

    def __init__(self, rows: Iterable[Resource], schema: Schema | None = None) -> None:
        self.schema = (schema or Schema.load()).extended()
        self.version = 0
        self._rows: dict[tuple[str, str, str], Resource] = {}
        self._by_type: dict[tuple[str, str], Resource] = {}
        self._groups: frozenset[str] = frozenset()
        # What is stored of kinds that are served in several versions.
        self._converted: frozenset[str] = frozenset()
        self._followers: list[Follower] = []
        self.add(*rows)

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._rows.values()))

    def served(self) -> tuple[Resource, ...]:
        """What clients may ask for, in the order of discovery: custom resources follow what is built in."""
        rows = [row for row in self._rows.values() if row.served]
        custom = [(row.custom.rank, row) for row in rows if row.custom is not None]
        ranked = sorted(custom, key=lambda one: one[0])
        return (*(row for row in rows if row.custom is None), *(row for _, row in ranked))

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of these, as discovery tells them."""
        return tuple(row.told or row.kind for row in self.served())

    @property
    def groups(self) -> frozenset[str]:
        """The groups that something built in is served of."""
        return self._groups

    def of(self, kind: Kind) -> Resource:
        """A kind's row. KeyError for one that is not served (any more)."""
        return self._rows[kind.group, kind.version, kind.plural]

    def strategy(self, kind: Kind) -> Strategy:
        """A kind's strategy; the plain one for what is but the body of a subresource (a Scale)."""
        found = self._rows.get((kind.group, kind.version, kind.plural))
        return found.strategy if found is not None else PLAIN

    def custom(self, kind: Kind) -> Custom | None:
        """What a version of a custom resource is; None for what is built in, or no resource at all."""
        found = self._rows.get((kind.group, kind.version, kind.plural))
        return found.custom if found is not None else None

    def conversion(self, kind: Kind) -> Conversion | None:
        """Between a version and the one that objects are stored under; None where that is the same."""
        found = self._rows.get((kind.group, kind.version, kind.plural))
        return found.conversion if found is not None else None

    def is_converted(self, kind: Kind) -> bool:
        """Whether other versions than the stored one show the objects of a kind."""
        return kind.storage in self._converted

    def convert(self, obj: Obj, kind: Kind) -> Obj:
        """The object as a version of its kind; the object itself when it is of that version. Of a custom resource,
        where that asks nobody else (LookupError).

        An object of a version that is not served (any more) is of the stored one. KeyError when `kind` is not served.
        """
        given = obj["apiVersion"]
        if given == kind.api_version:
            return obj
        source = self._by_type.get((given, kind.kind))
        if source is not None and source.conversion is not None:
            obj = source.conversion.stored(obj)
        row = self._by_type[kind.api_version, kind.kind]
        if row.custom is not None:
            return row.custom.converted(obj)
        wanted = row.conversion
        return wanted.shown(obj) if wanted is not None else obj

    async def shown(self, obj: Obj, kind: Kind) -> Obj:
        """As convert(), also where a webhook has to be asked how a custom resource looks. Raises ApiError."""
        custom = self._by_type[kind.api_version, kind.kind].custom
        if custom is None or obj["apiVersion"] == kind.api_version:
            return self.convert(obj, kind)
        return await custom.brought(obj)

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind that is served at `/apis/<group>/<version>/…/<plural>` (group "" for core)."""
        found = self._rows.get((group, version, plural))
        return found.kind if found is not None and found.served else None

    def find(self, api_version: str, kind: str) -> Kind | None:
        """The kind of an object's `apiVersion` and `kind`."""
        found = self._by_type.get((api_version, kind))
        return found.kind if found is not None else None

    def add(self, *rows: Resource) -> None:
        """Serve these, too; a row that is there already is replaced."""
        for row in rows:
            kind = row.kind
            self._rows[kind.group, kind.version, kind.plural] = row
            self._by_type[kind.api_version, kind.kind] = row
            self.schema.add(row.definitions)
        self._changed(rows, True)

    def remove(self, kind: Kind) -> None:
        """Serve this no more. Its objects stay in the store. KeyError when it is not served."""
        row = self._rows.pop((kind.group, kind.version, kind.plural))
        self._by_type.pop((kind.api_version, kind.kind), None)
        self.schema.remove(row.definitions)
        self._changed((row,), False)

    def follow(self, follower: Follower) -> None:
        """Call with every row that comes (True) or goes (False) from now on, on the loop, in order."""
        self._followers.append(follower)

    def _changed(self, rows: Iterable[Resource], there: bool) -> None:
        self.version += 1
        self._groups = frozenset(row.kind.group for row in self._rows.values() if row.custom is None)
        several = (row.kind.storage for row in self._rows.values() if row.conversion or row.custom)
        self._converted = frozenset(several)
        for row in rows:
            for follower in self._followers:
                follower(row, there)


class Versioned(Protocol):
    """What changes, a Catalog for one: its version is another after each change."""

    @property
    def version(self) -> Hashable: ...


class Current(Generic[T]):
    """What is made of a catalog: made when first asked for, and anew after each change of the catalog."""

    def __init__(self, catalog: Versioned, make: Callable[[], T]) -> None:
        self._catalog, self._make = catalog, make
        self._made: tuple[Hashable, T] | None = None

    def get(self) -> T:
        if self._made is None or self._made[0] != self._catalog.version:
            self._made = (self._catalog.version, self._make())
        return self._made[1]
