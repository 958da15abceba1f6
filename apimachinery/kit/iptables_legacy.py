"""The one door to python-iptables: chains in the kernel's legacy tables, seen and removed without the host's programs.

For hosts where `iptables` means the nft back end while legacy tables still hold rules: nothing else there shows them.
The package is imported on first use. A table that does not exist is never touched: reading it would create it.
Everything blocks for a moment; coroutines call it from a thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from apimachinery.kit import netns as namespaces

T = TypeVar("T")
_LOCK = Path("/run/xtables.lock")
_LOCK_SECONDS = 5.0
# struct ipt_getinfo and its option; IPv6 has the same numbers (linux/netfilter_ipv4/ip_tables.h).
_SO_GET_INFO, _INFO_BYTES = 64, 84
_libc = ctypes.CDLL(None, use_errno=True)


class LegacyError(Exception):
    """Legacy tables cannot be reached: what is missing, and how to get it."""


@dataclass(frozen=True, slots=True)
class Jump:
    """A rule that leads from one chain to another."""

    chain: str
    target: str


class Fingerprint:
    """Tells cheaply whether anybody changed a legacy table of the namespace (None: this one): one system call asks the
    kernel for its number of rules, its size and where its chains begin, and copies no rule.

    What replaces a rule by another of the same size goes unseen. Raises OSError where there is no such table.
    """

    def __init__(self, ipv6: bool = False, netns: Path | None = None) -> None:
        family, self._level = (socket.AF_INET6, socket.IPPROTO_IPV6) if ipv6 else (socket.AF_INET, socket.IPPROTO_IP)
        arguments = (family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
        self._socket = socket.socket(*arguments) if netns is None else namespaces.open_socket(netns, *arguments)

    def read(self, table: str) -> bytes:
        """Equal while the table stays as it is."""
        info = ctypes.create_string_buffer(table.encode(), _INFO_BYTES)
        size = ctypes.c_uint32(_INFO_BYTES)
        asked = (self._socket.fileno(), self._level, _SO_GET_INFO, info, ctypes.byref(size))
        if _libc.getsockopt(*asked) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), table)
        return info.raw

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


@dataclass(frozen=True)
class LegacyTables:
    """One family's legacy tables in one namespace (None: the process's own)."""

    ipv6: bool = False
    netns: Path | None = None

    def names(self) -> tuple[str, ...]:
        """The tables the kernel has; creates none, and needs no package."""
        return self._inside(self._names)

    def chains(self, table: str) -> tuple[str, ...]:
        """A table's chains, built-in ones too; empty when there is no such table. Raises LegacyError."""
        return self._with(table, lambda opened: tuple(chain.name for chain in opened.chains)) or ()

    def jumps(self, table: str) -> tuple[Jump, ...]:
        """Every rule of a table that leads to a chain. Raises LegacyError."""

        def read(opened: Any) -> tuple[Jump, ...]:
            chains = {chain.name for chain in opened.chains}
            found = (Jump(name, target) for name in chains for _, target in _entries(opened, name))
            return tuple(sorted((jump for jump in found if jump.target in chains), key=lambda j: (j.chain, j.target)))

        return self._with(table, read) or ()

    def remove(self, table: str, chains: Collection[str]) -> int:
        """Delete these chains and every rule that leads to one, in one commit; returns how many chains were there.

        Raises LegacyError.
        """

        def change(opened: Any) -> int:
            present = [chain.name for chain in opened.chains]
            gone = [name for name in present if name in chains]
            for name in gone:
                opened.flush_entries(name)
            for name in present:
                # From the end, so that the numbers of those that stay in front do not change.
                for number, target in reversed(_entries(opened, name)):
                    if target in gone:
                        _delete(opened, name, number)
            for name in gone:
                opened.delete_chain(name)
            if gone:
                opened.commit()
            return len(gone)

        return self._with(table, change) or 0

    def _with(self, table: str, use: Callable[[Any], T]) -> T | None:
        if table not in self.names():
            return None
        library = _library()

        def inside() -> T:
            with _locked():
                kind = library.Table6 if self.ipv6 else library.Table
                # The library keeps table objects by name, whatever namespace they were opened in.
                opened = kind(table, autocommit=False)
                opened.refresh()
                try:
                    return use(opened)
                finally:
                    opened.close()

        try:
            return self._inside(inside)
        except library.IPTCError as error:
            raise LegacyError(f"legacy table {table}: {error}") from error

    def _names(self) -> tuple[str, ...]:
        # The thread's own view: /proc/net is that of the process' first thread.
        path = Path("/proc/thread-self/net") / ("ip6_tables_names" if self.ipv6 else "ip_tables_names")
        try:
            return tuple(path.read_text().split())
        except FileNotFoundError:
            return ()

    def _inside(self, function: Callable[[], T]) -> T:
        return function() if self.netns is None else namespaces.call(self.netns, function)


def _library() -> Any:
    try:
        return importlib.import_module("iptc")
    except ImportError as error:
        raise LegacyError(
            "legacy iptables tables are in use here, but python-iptables cannot be loaded "
            f"({error}): pip install python-iptables"
        ) from error


def _entries(table: Any, chain: str) -> list[tuple[int, str]]:
    """(number, where it leads) of a chain's rules; matches and their options are not decoded."""
    found: list[tuple[int, str]] = []
    entry = table.first_rule(chain)
    while entry:
        found.append((len(found), (table.get_target(entry) or b"").decode()))
        entry = table.next_rule(entry)
    return found


def _delete(table: Any, chain: str, number: int) -> None:
    if table._iptc.iptc_delete_num_entry(chain.encode(), number, table._handle) != 1:
        raise LegacyError(
            f"cannot delete rule {number + 1} of {chain} in legacy table {table.name}: {table.strerror()}"
        )


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Holds the lock all iptables programs take: a commit replaces the whole table."""
    handle = os.open(_LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LegacyError(f"another program has held {_LOCK} for {_LOCK_SECONDS:g} s") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)
