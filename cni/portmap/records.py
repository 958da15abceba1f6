"""Who holds which host ports: one file for each attachment, under one lock.

They lie with the daemon's socket, commonly on a tmpfs: what they tell of, rules and namespaces, does not survive the
machine either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.files import write_atomic
from cni import locking
from cni.portmap.plan import Forward, Holder

Key = tuple[str, str, str]
"""(network, container id, interface)"""


class Records:
    """The files in `directory`, made when missing. All but `lock`, `exist` and `has` are called with the lock held."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def lock(self) -> Iterator[None]:
        """CniError(11) when another holds it too long."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / "lock").open("w") as file:
            locking.wait_for(file.fileno(), self._directory)
            yield

    def exist(self) -> bool:
        """Whether any pod ever had a host port here."""
        return self._directory.is_dir()

    def has(self, key: Key) -> bool:
        return self._path(key).exists()

    def all(self) -> list[Holder]:
        return [_decode(path) for path in sorted(self._directory.glob("*.json"))]

    def write(self, holder: Holder, namespace: str) -> None:
        """`namespace`: the pod's, by which `sweep` finds a pod that went without DEL."""
        noted = {"netns": namespace, "identity": netns.identity(Path(namespace))}
        write_atomic(self._path(holder.key), json.dumps({**asdict(holder), **noted}).encode())

    def remove(self, key: Key) -> None:
        self._path(key).unlink(missing_ok=True)

    def sweep(self) -> list[Holder]:
        """Forget pods whose network namespace is gone; returns them."""
        gone = []
        for path in self._directory.glob("*.json"):
            noted = json.loads(path.read_bytes())
            found = netns.identity(Path(noted["netns"]))
            if found is None or list(found) != noted["identity"]:
                gone.append(_decode(path))
                path.unlink()
        return gone

    def _path(self, key: Key) -> Path:
        return self._directory / f"{hashlib.blake2b('/'.join(key).encode(), digest_size=12).hexdigest()}.json"


def _decode(path: Path) -> Holder:
    given = json.loads(path.read_bytes())
    forwards = tuple(Forward(**f) for f in given["forwards"])
    key = given["network"], given["container_id"], given["ifname"]
    return Holder(*key, forwards, tuple(given["sources"]), given["snat"], tuple(given["links"]))
