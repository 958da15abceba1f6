"""Keys as they lie in etcd: the prefix, a layout below it, and the keys of this store's own. Pure."""

from __future__ import annotations

from controlplane.store.etcd import rpc_pb2 as rpc
from controlplane.store.model import Layout


class Places:
    """prefix: as /registry; everything below it is the store's."""

    def __init__(self, prefix: str, layout: Layout) -> None:
        self._root = "/" + prefix.strip("/") + "/"
        self._layout = layout
        self.all = self._root.encode()
        self.barrier = self.all + b"wherry/barrier"
        self.unfinished = self.all + b"wherry/restoring"
        self.fence = self.all + b"wherry/fence"
        self.removal = self.all + b"wherry/removal"
        self._own = frozenset((self.barrier, self.unfinished, self.fence, self.removal))

    def of(self, key: str) -> bytes:
        return (self._root + self._layout.place(key)).encode()

    def tells(self, place: bytes) -> bool:
        """Whether followers are told of what lies there."""
        return place not in self._own and self._layout.key(place[len(self.all) :].decode()) is not None

    def outward(self, key: str, value: bytes) -> bytes:
        return self._layout.outward(key, value)

    def inward(self, kv: rpc.KeyValue, deleted: bool = False) -> tuple[str, bytes | None] | None:
        """Key and value of what lies at a place; None for what is no object of ours. Raises ValueError for an object
        that cannot be read.
        """
        if kv.key in self._own:
            return None
        key = self._layout.key(kv.key[len(self.all) :].decode())
        if key is None:
            return None
        return key, None if deleted else self._layout.inward(key, kv.value)
