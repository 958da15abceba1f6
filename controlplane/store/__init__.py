"""The store: every object of the cluster as bytes under a key, at a revision, durable before it is acknowledged.

Owns the state files. Knows keys, bytes and revisions and nothing of Kubernetes: no JSON, no kinds, no selectors. Must
never acknowledge what a power cut could take back, hand out revisions out of order, or begin anew where there was
something.

Reading order: model (the interface and its values), sqlite (the backend on one file), journal (its rows), checksum and
witness (how damage is known), audit, inspection and opening (the start), reserve (the full disk), salvage (the way
out), backup (copies, and putting them back).
"""

from __future__ import annotations

from pathlib import Path

from controlplane.store.model import (
    Change,
    Corrupt,
    Delete,
    Full,
    Locked,
    Mismatch,
    Op,
    Put,
    Snapshot,
    Store,
    StoreError,
)

__all__ = [
    "Change",
    "Corrupt",
    "Delete",
    "Full",
    "Locked",
    "Mismatch",
    "Op",
    "Put",
    "Snapshot",
    "Store",
    "StoreError",
    "build",
]


def build(name: str, data_dir: Path) -> Store:
    """The store of a name, not open yet; "sqlite" keeps its files in data_dir. Raises StoreError."""
    from controlplane.store.sqlite import SqliteStore

    if name == "sqlite":
        return SqliteStore(data_dir / "state.db")
    raise StoreError(f"there is no store called {name!r}; known are: sqlite")
