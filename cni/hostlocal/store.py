"""Who holds which address: a directory with one exclusively created file per address, under one lock.

A crash leaves at worst an address whose container is gone (its network namespace is noted beside it, so
`sweep` finds that) or an empty file (made under the lock but never written, so whoever holds the lock next
may remove it).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apimachinery.kit import netns
from apimachinery.kit.netlink.routes import Address
from cni import locking

_NETNS = "netns."


@dataclass(frozen=True)
class Owner:
    """An attachment: a container's interface."""

    container_id: str
    ifname: str

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        lines = text.split("\r\n")
        return cls(lines[0].strip(), lines[1].strip() if len(lines) > 1 else "") if text.strip() else None

    def __str__(self) -> str:
        return f"{self.container_id}\r\n{self.ifname}"


class Store(Protocol):
    """What the plugin needs of a store. All but `lock` are called with the lock held."""

    @contextmanager
    def lock(self) -> Iterator[None]: ...
    def taken(self) -> dict[str, Owner | None]: ...
    def reserve(self, address: Address, owner: Owner, set_number: int) -> bool: ...
    def release(self, address: str) -> None: ...
    def last_reserved(self, set_number: int) -> Address | None: ...
    def note_namespace(self, container_id: str, path: str) -> None: ...
    def forget_namespace(self, container_id: str) -> None: ...


class DiskStore:
    """The store in `<data_dir>/<network>`, made when missing."""

    def __init__(self, data_dir: Path, network: str) -> None:
        self.directory = data_dir / network
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held against other processes and other threads; CniError(11) when it cannot be had in time."""
        fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            locking.wait_for(fd, self.directory)
            yield
        finally:
            os.close(fd)

    def taken(self) -> dict[str, Owner | None]:
        """Owner by address; None for a file that a crash left empty."""
        found = {}
        for name in self._names():
            if name[0].isdigit() or ":" in name:
                found[name] = Owner.parse(self._read(name) or "")
        return found

    def reserve(self, address: Address, owner: Owner, set_number: int) -> bool:
        """False when someone holds it already."""
        name = str(address)
        try:
            fd = os.open(f"{self.directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        try:
            os.write(fd, str(owner).encode())
            self._write(f"last_reserved_ip.{set_number}", name)
        except OSError:
            self.release(name)
            raise
        finally:
            os.close(fd)
        return True

    def release(self, address: str) -> None:
        (self.directory / address).unlink(missing_ok=True)

    def last_reserved(self, set_number: int) -> Address | None:
        text = self._read(f"last_reserved_ip.{set_number}")
        try:
            return ipaddress.ip_address(text.strip()) if text else None
        except ValueError:
            return None

    def note_namespace(self, container_id: str, path: str) -> None:
        """Remember which namespace the container's addresses are for, told apart from a later one at that
        path.
        """
        self._write(f"{_NETNS}{container_id}", f"{path}\n{_identity(path)}\n")

    def forget_namespace(self, container_id: str) -> None:
        (self.directory / f"{_NETNS}{container_id}").unlink(missing_ok=True)

    def namespace_of(self, container_id: str) -> str:
        """The path noted for a container, "" for none."""
        return (self._read(f"{_NETNS}{container_id}") or "").partition("\n")[0]

    def namespace_alive(self, container_id: str) -> bool | None:
        """None: nothing noted (another plugin reserved the address)."""
        lines = (self._read(f"{_NETNS}{container_id}") or "").split("\n")
        return _identity(lines[0]) == lines[1] if len(lines) > 1 else None

    def noted(self) -> set[str]:
        return {n[len(_NETNS) :] for n in self._names() if n.startswith(_NETNS)}

    def _names(self) -> list[str]:
        return os.listdir(self.directory)  # noqa: PTH208  (a Path for each of 250 names costs a millisecond)

    def _read(self, name: str) -> str | None:
        try:
            fd = os.open(f"{self.directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return os.read(fd, 4096).decode(errors="replace")
        finally:
            os.close(fd)

    def _write(self, name: str, text: str) -> None:
        fd = os.open(f"{self.directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            data = text.encode()
            os.write(fd, data)
            # Cut afterwards: ext4 starts writing to disk at once when a file was first cut to nothing.
            os.ftruncate(fd, len(data))
        finally:
            os.close(fd)


def sweep(store: DiskStore, alive: Callable[[str], bool] | None = None) -> list[str]:
    """Release what no living container holds; returns the addresses. For the start of a daemon.

    `alive` says whether a container id is a sandbox the runtime knows. Without it a container lives as long
    as the network namespace noted for it, and an address without a note is left alone.
    """
    freed = []
    with store.lock():
        held: set[str] = set()
        for address, owner in store.taken().items():
            if owner is not None:
                noted = store.namespace_alive(owner.container_id)
                lives = alive(owner.container_id) if alive is not None else noted is not False
                if lives:
                    held.add(owner.container_id)
                    continue
            store.release(address)
            freed.append(address)
        for container_id in store.noted() - held:
            store.forget_namespace(container_id)
    return freed


def _identity(path: str) -> str:
    found = netns.identity(path) if path else None
    return f"{found[0]}:{found[1]}" if found else "gone"
