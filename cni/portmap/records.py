"""Who holds which host ports: one file for each attachment, under one lock.

They lie with the daemon's socket, commonly on a tmpfs: what they tell of, rules and namespaces, does not survive the
machine either. A process remembers what it has read: the lock's file says whose change was the last, so that only
after another process's change everything is read again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.files import write_atomic
from cni import locking
from cni.backend import NFTABLES
from cni.portmap.plan import Forward, Holder, Port, Special

Key = tuple[str, str, str]
"""(network, container id, interface)"""


class Records:
    """The files in `directory`, made when missing. All but `lock`, `exist` and `has` are called with the lock held."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = -1
        self._last_change = b""
        self._holders: dict[Key, Holder] = {}
        self._by_port: dict[Port, set[Key]] = defaultdict(set)
        self._networks: Counter[str] = Counter()
        self._backends: Counter[str] = Counter()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held against other processes and other threads; CniError(11) when another holds it too long."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            locking.wait_for(fd, self._directory)
            self._lock = fd
            self._read_what_others_changed()
            yield
        finally:
            os.close(fd)

    def exist(self) -> bool:
        """Whether any pod ever had a host port here."""
        return self._directory.is_dir()

    def has(self, key: Key) -> bool:
        return self._path(key).exists()

    def get(self, key: Key) -> Holder | None:
        return self._holders.get(key)

    def all(self, backend: str = "") -> list[Holder]:
        """Of one back end, or everybody."""
        return [h for h in self._holders.values() if backend in ("", h.backend)]

    def count(self, backend: str) -> int:
        return self._backends[backend]

    def same_container(self, network: str, container_id: str) -> list[Holder]:
        """The attachments of one container to a network, by whatever interface."""
        return [h for key, h in self._holders.items() if key[:2] == (network, container_id)]

    def users(self, ports: Iterable[Port]) -> list[Holder]:
        """Who holds any of these ports, on whatever address."""
        keys = {key for port in ports for key in self._by_port.get(port, ())}
        return [self._holders[key] for key in keys]

    def know_networks(self, holder: Holder) -> bool:
        """Whether each network of this holder's pod is that of another's, too, so that the table of nftables has it."""
        return not holder.snat or all(self._networks[network] for network in holder.sources)

    def write(self, holder: Holder, namespace: str) -> None:
        """`namespace`: the pod's, by which `sweep` finds a pod that went without DEL."""
        noted = {"netns": namespace, "identity": netns.identity(Path(namespace))}
        self._announce_change()
        write_atomic(self._path(holder.key), json.dumps({**asdict(holder), **noted}).encode())
        self._forget(holder.key)
        self._remember(holder)

    def remove(self, key: Key) -> None:
        self._announce_change()
        self._path(key).unlink(missing_ok=True)
        self._forget(key)

    def sweep(self) -> list[Holder]:
        """Forget pods whose network namespace is gone; returns them."""
        gone = []
        for path in self._directory.glob("*.json"):
            noted = json.loads(path.read_bytes())
            found = netns.identity(Path(noted["netns"]))
            if found is None or list(found) != noted["identity"]:
                gone.append(_decode(path))
                self.remove(gone[-1].key)
        return gone

    def _read_what_others_changed(self) -> None:
        last = os.pread(self._lock, 16, 0)
        if last and last == self._last_change:
            return
        self._holders.clear()
        self._by_port.clear()
        self._networks.clear()
        self._backends.clear()
        for path in sorted(self._directory.glob("*.json")):
            self._remember(_decode(path))
        self._last_change = last

    def _announce_change(self) -> None:
        """Before the change: who dies in its middle has told of it all the same."""
        self._last_change = os.urandom(16)
        os.pwrite(self._lock, self._last_change, 0)

    def _remember(self, holder: Holder) -> None:
        self._holders[holder.key] = holder
        self._networks.update(_in_table(holder))
        self._backends[holder.backend] += 1
        for forward in holder.forwards:
            self._by_port[forward.port].add(holder.key)

    def _forget(self, key: Key) -> None:
        holder = self._holders.pop(key, None)
        if holder is None:
            return
        self._networks.subtract(_in_table(holder))
        self._backends[holder.backend] -= 1
        for port in {forward.port for forward in holder.forwards}:
            self._by_port[port].discard(key)
            if not self._by_port[port]:
                del self._by_port[port]

    def _path(self, key: Key) -> Path:
        return self._directory / f"{hashlib.blake2b('/'.join(key).encode(), digest_size=12).hexdigest()}.json"


def _in_table(holder: Holder) -> tuple[str, ...]:
    """The networks for which the table of nftables holds something because of this holder."""
    return holder.sources if holder.snat and holder.backend == NFTABLES else ()


def _decode(path: Path) -> Holder:
    given = json.loads(path.read_bytes())
    forwards = tuple(Forward(**f) for f in given["forwards"])
    key = given["network"], given["container_id"], given["ifname"]
    found = Holder(*key, forwards, tuple(given["sources"]), given["snat"], tuple(given["links"]))
    if "backend" not in given:
        # Written before there was another.
        return replace(found, backend=NFTABLES)
    four, six = (tuple(words) for words in given["special"]["conditions"])
    special = Special(**{**given["special"], "conditions": (four, six)})
    return replace(found, backend=given["backend"], special=special)
