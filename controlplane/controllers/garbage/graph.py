"""Who owns whom, as far as the watches have told. No decisions are made here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from apimachinery.kinds import Kind
from apimachinery.objects import Obj, is_deleting, name, namespace, uid
from controlplane.controllers import names


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocking: bool


@dataclass(frozen=True, slots=True)
class Item:
    """All that is remembered of an object, of every object there is."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    owners: tuple[Owner, ...] = ()
    deleting: bool = False
    finalizers: frozenset[str] = frozenset()

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and names.FOREGROUND_FINALIZER in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.deleting and names.ORPHAN_FINALIZER in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether the owner's foreground deletion waits for this object."""
        return any(owner.uid == owner_uid and owner.blocking for owner in self.owners)


@dataclass
class Graph:
    """`dependents`: uid of an owner to uids of what it owns, also of owners that were never seen."""

    items: dict[str, Item] = field(default_factory=dict)
    dependents: dict[str, dict[str, None]] = field(default_factory=dict)

    def put(self, item: Item) -> Item | None:
        """Add or replace; answers what was there."""
        old = self.items.get(item.uid)
        if old is not None:
            self._unlink(old)
        self.items[item.uid] = item
        for owner in item.owners:
            self.dependents.setdefault(owner.uid, {})[item.uid] = None
        return old

    def drop(self, item_uid: str) -> Item | None:
        """Forget an object; what it owned stays filed under its uid."""
        old = self.items.pop(item_uid, None)
        if old is not None:
            self._unlink(old)
        return old

    def owned_by(self, owner_uid: str) -> list[Item]:
        return [self.items[u] for u in self.dependents.get(owner_uid, ())]

    def _unlink(self, item: Item) -> None:
        for owner in item.owners:
            owned = self.dependents.get(owner.uid)
            if owned is not None:
                owned.pop(item.uid, None)
                if not owned:
                    del self.dependents[owner.uid]


def item_of(kind: Kind, obj: Obj) -> Item:
    """What the graph keeps of an object."""
    meta = obj["metadata"]
    owners = tuple(
        _owner(r.get("apiVersion", ""), r.get("kind", ""), r["name"], r["uid"], bool(r.get("blockOwnerDeletion")))
        for r in meta.get("ownerReferences") or ()
    )
    finalizers = frozenset(meta.get("finalizers") or ())
    return Item(kind, namespace(obj), name(obj), uid(obj), owners, is_deleting(obj), finalizers)


# One for all that is owned alike.
_owner = lru_cache(maxsize=4096)(Owner)


def bare(obj: Obj) -> Obj:
    """What an informer keeps of an object for this loop."""
    kept = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")
    return {"metadata": {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}}
