"""etcd v3, which several API servers share."""

from __future__ import annotations

from controlplane.store.etcd.store import EtcdStore
from controlplane.store.model import Layout, Place


def make(place: Place, layout: Layout) -> EtcdStore:
    """Raises StoreError for a place without members, or with some that cannot be dialled."""
    return EtcdStore(place, layout)
