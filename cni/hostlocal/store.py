"""Who holds which address: a directory with one exclusively created file per address, under one lock.

A crash leaves at worst an address whose container is gone (its network namespace is noted beside it, so
`sweep` finds that) or an empty file (made under the lock but never written, so whoever holds the lock next
may remove it).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(frozen=True)
class Note:
    """What is noted of a container: its network namespace, told apart from a later one at that path, and which
    interface holds which addresses, so that nobody has to read all to find them.
    """

    path: str = ""
    identity: str = ""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Note:
        lines = text.split("\n")
        pairs = (line.split(" ") for line in lines[2:] if line)
        held = {words[0]: tuple(words[1:]) for words in pairs}
        return cls(lines[0], lines[1], held) if len(lines) > 1 else cls()

    def __str__(self) -> str:
        held = (f"{' '.join((ifname, *addresses))}\n" for ifname, addresses in self.addresses.items())
        return f"{self.path}\n{self.identity}\n{''.join(held)}"


class DiskStore:
    """The store in `<data_dir>/<network>`, made when missing. All but `lock` are called with the lock held."""

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
        """False when someone holds it already. A file that a crash left empty is nobody's."""
        name, flags = str(address), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(f"{self.directory}/{name}", flags | os.O_EXCL, 0o600)
        except FileExistsError:
            if self._read(name):
                return False
            fd = os.open(f"{self.directory}/{name}", flags, 0o600)
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

    def held_by(self, owner: Owner) -> list[str]:
        """The attachment's addresses: as noted, else (another plugin reserved them, or a crash came between) by a look
        at all."""
        noted = self.note_of(owner.container_id).addresses.get(owner.ifname)
        if noted is not None:
            return [address for address in noted if Owner.parse(self._read(address) or "") == owner]
        return [a for a, holder in self.taken().items() if holder in (owner, Owner(owner.container_id, ""))]

    def holds_any(self, container_id: str) -> bool:
        """Whether any interface of the container holds an address; reads all."""
        return any(holder and holder.container_id == container_id for holder in self.taken().values())

    def note(self, container_id: str, note: Note) -> None:
        self._write(f"{_NETNS}{container_id}", str(note))

    def note_of(self, container_id: str) -> Note:
        """An empty one when nothing is noted: another plugin reserved the address."""
        return Note.parse(self._read(f"{_NETNS}{container_id}") or "")

    def forget_note(self, container_id: str) -> None:
        (self.directory / f"{_NETNS}{container_id}").unlink(missing_ok=True)

    def namespace_alive(self, container_id: str) -> bool | None:
        """None: nothing noted."""
        note = self.note_of(container_id)
        return identity(note.path) == note.identity if note.identity else None

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
            store.forget_note(container_id)
    return freed


def identity(path: str) -> str:
    """What tells the namespace at this path from a later one there; "gone" for none."""
    found = netns.identity(path) if path else None
    return f"{found[0]}:{found[1]}" if found else "gone"
