"""The store: every object of the cluster as bytes under a key, at a revision, durable before it is acknowledged.

Owns the state files. Knows keys, bytes and revisions and nothing of Kubernetes: no JSON, no kinds, no selectors. Must
never acknowledge what a power cut could take back, hand out revisions out of order, or begin anew where there was
something.

Reading order: model (the interface and its values), backends/ (the stores by name), sqlite (the one on a file), ledger
(which rows are written), journal (how they lie there), checksum and witness (how damage is known), audit, inspection
and opening (the start), reserve (the full disk), salvage (the way out), backup (copies, and putting them back),
progress (how far followers are), etcd/ (the one that servers share).
"""

from __future__ import annotations

from controlplane.store.backends import build, names
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
    "names",
]
