"""The registry: every write to every kind, from a client's object to a durable revision.

Owns the life of an object: metadata, defaults, admission, validation, optimistic concurrency, deletion. What
differs from kind to kind is said by the kind's row (controlplane.apiserver.resources); nothing here names a kind.
Must never answer before the store has, and never change a shared object.

Reading order: converting, context, metadata, conflicts, upkeep, deletion, preparing (what becomes of an object),
storing (its bytes in the store), registry (the order of it all, and admission).
"""

from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.registry.registry import Registry

__all__ = ["Context", "Registry"]
