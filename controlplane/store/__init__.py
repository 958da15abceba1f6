"""The store: every object of the cluster as bytes under a key, at a revision, durable before it is
acknowledged.

Owns the state file. Knows keys, bytes and revisions and nothing of Kubernetes: no JSON, no kinds, no
selectors. Must never acknowledge what a power cut could take back, nor hand out revisions out of order.

Reading order: model (the interface and its values), sqlite (the backend on one file), journal (its rows).
"""

from controlplane.store.model import (
    Change,
    Compacted,
    Corrupt,
    Delete,
    Full,
    Locked,
    Mismatch,
    Op,
    Put,
    Record,
    Store,
    StoreError,
)

__all__ = [
    "Change",
    "Compacted",
    "Corrupt",
    "Delete",
    "Full",
    "Locked",
    "Mismatch",
    "Op",
    "Put",
    "Record",
    "Store",
    "StoreError",
]
