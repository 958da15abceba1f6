"""The stores by name: a module here is one, called as the setting `store` calls it.

Each has `make(place, layout)`, which returns a Store that is not open yet, and loads what that needs; the work lies in
modules and folders beside. Who adds a store adds its module here: nothing else names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from controlplane.store.model import Layout, Place, Store, StoreError


def names() -> tuple[str, ...]:
    """The stores there are, in the order of the alphabet. Imports none of them."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__)))


def build(name: str, place: Place, layout: Layout) -> Store:
    """The store of a name, not open yet. layout: how others are to find what is in one that they can read, too.

    Raises StoreError.
    """
    if name not in names():
        raise StoreError(f"there is no store called {name!r}; known are: {', '.join(names())}")
    make: Callable[[Place, Layout], Store] = importlib.import_module(f"{__name__}.{name}").make
    return make(place, layout)
