"""Sets of addresses and ports for iptables rules, by the program ipset: whole texts to `ipset restore`, names and
members from `ipset save`; and by one look into the kernel, whether anybody changed a set."""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import command
from apimachinery.kit.netlink import Netlink, Request, wire

_NETFILTER, _SUBSYSTEM, _LIST = 12, 6, 7
_PROTOCOL, _FLAGS, _LIST_HEADER = 1, 6, 4
_PROTOCOL_VERSION = 6


class IpsetError(Exception):
    """ipset cannot be used here: which program is missing and how to get it."""


@dataclass(frozen=True)
class Ipset:
    """The sets of a namespace (None: the process's own)."""

    netns: Path | None = None

    def require(self) -> None:
        """Raises IpsetError unless the program exists."""
        if shutil.which("ipset") is None:
            raise IpsetError("ipset was not found: install the package ipset")

    async def restore(self, text: str, timeout: float = 60.0) -> None:
        """Commands, one a line, in order; the first that is refused ends them. What is there already, or gone already,
        is no refusal. Raises command.CommandError, which carries the text."""
        await command.run([*self._enter(), "ipset", "-exist", "restore"], stdin=text.encode(), timeout=timeout)

    async def members(self, timeout: float = 60.0) -> dict[str, frozenset[str]]:
        """What each set holds; without a set, or without sets in the kernel, nothing."""
        done = await command.run([*self._enter(), "ipset", "save"], timeout=timeout, check=False)
        return parse(done.stdout.decode())

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net={self.netns}"] if self.netns else []


def parse(text: str) -> dict[str, frozenset[str]]:
    """The output of `ipset save`."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["create"]:
            found[words[1]] = set()
        elif words[:1] == ["add"]:
            found[words[1]].add(words[2])
    return {name: frozenset(members) for name, members in found.items()}


class Fingerprint:
    """Tells cheaply whether anybody changed a set of the namespace: one dump of their heads, no member is copied.

    What replaces a member by another of the same size goes unseen. Raises OSError where the kernel has no sets.
    """

    def __init__(self, netns: Path | None = None) -> None:
        self._netlink = Netlink(netns, protocol=_NETFILTER)

    def read(self) -> Mapping[bytes, bytes]:
        """Name to all the kernel tells of it, which is equal while the set stays as it is."""
        head = struct.pack("=BBH", socket.AF_INET, 0, 0)
        parts = wire.u8(_PROTOCOL, _PROTOCOL_VERSION) + wire.attribute(_FLAGS, struct.pack(">I", _LIST_HEADER))
        asked = Request(_SUBSYSTEM << 8 | _LIST, wire.NLM_F_DUMP, head + parts, "list sets")
        found = self._netlink.dump(asked, lambda reply: wire.attributes(reply.payload, 4))
        return {one.get(2, b""): one.get(7, b"") for one in found}

    def close(self) -> None:
        self._netlink.close()
