"""The store: every object of the cluster as bytes under a key, at a revision, durable before it is acknowledged.

Owns the state files. Knows keys, bytes and revisions and nothing of Kubernetes: no JSON, no kinds, no selectors. Must
never acknowledge what a power cut could take back, hand out revisions out of order, or begin anew where there was
something.

Reading order: model (the interface and its values), sqlite (the backend on one file), journal (its rows), checksum and
witness (how damage is known), audit, inspection and opening (the start), reserve (the full disk), salvage (the way
out), backup (copies, and putting them back), progress (how far followers are), etcd/ (the backend that servers share).
"""

from __future__ import annotations

from controlplane.store.model import (
    Change,
    Corrupt,
    Delete,
    Follower,
    Full,
    Layout,
    Locked,
    Mismatch,
    Op,
    Place,
    Put,
    Snapshot,
    Store,
    StoreError,
    Unavailable,
)

__all__ = [
    "Change",
    "Corrupt",
    "Delete",
    "Follower",
    "Full",
    "Layout",
    "Locked",
    "Mismatch",
    "Op",
    "Place",
    "Put",
    "Snapshot",
    "Store",
    "StoreError",
    "Unavailable",
    "build",
]


def build(name: str, place: Place, layout: Layout) -> Store:
    """The store of a name, not open yet. layout: how others are to find what is in one that they can read, too.

    Raises StoreError.
    """
    if name == "sqlite":
        from controlplane.store.sqlite import SqliteStore

        return SqliteStore(place.data_dir / "state.db")
    if name == "etcd":
        from controlplane.store.etcd.store import EtcdStore

        return EtcdStore(place, layout)
    raise StoreError(f"there is no store called {name!r}; known are: sqlite, etcd")
