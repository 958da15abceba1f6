"""One file of one API server."""

from __future__ import annotations

from controlplane.store.model import Layout, Place
from controlplane.store.sqlite import SqliteStore


def make(place: Place, layout: Layout) -> SqliteStore:
    """Nobody else reads the file, so the layout does not matter."""
    return SqliteStore(place.data_dir / "state.db")
