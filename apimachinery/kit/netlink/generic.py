"""Families of generic netlink: what the kernel registers by name (IPVS, WireGuard) and gives a number at run time.

Source: linux/genetlink.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from apimachinery.kit import netns
from apimachinery.kit.netlink import wire
from apimachinery.kit.netlink.session import Netlink
from apimachinery.kit.netlink.wire import Reply, Request

T = TypeVar("T")
_Own = TypeVar("_Own", bound="Family")
HEAD = 4
"""bytes of a message before its attributes"""
_NETLINK_GENERIC, _CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 0x10, 3, 1, 2


def command(number: int, *parts: bytes) -> bytes:
    """A message of a family: which of its commands, and packed attributes."""
    return struct.pack("=BBH", number, 1, 0) + b"".join(parts)


class Family:
    """One family in one namespace (None: this thread's). Close it, or use it in a `with`.

    Raises OSError; ENOENT where the kernel has no such family.
    """

    def __init__(self, name: str, namespace: netns.Namespace | None = None) -> None:
        self._netlink = Netlink(namespace, protocol=_NETLINK_GENERIC)
        packed = command(_GET_FAMILY, wire.text(_FAMILY_NAME, name))
        asked = Request(_CONTROL, 0, packed, f"look for {name} in the kernel")
        try:
            self._number = self._netlink.ask(asked, _number)
        except OSError:
            self.close()
            raise

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._netlink.close()

    def do(self, *commands: tuple[bytes, str]) -> None:
        """Carry out (packed command, what it means in words), in order; then the first refusal is raised."""
        self._netlink.do(*(Request(self._number, 0, packed, asked) for packed, asked in commands))

    def ask(self, packed: bytes, asked: str, read: Callable[[Reply], T]) -> T:
        """The answer to one command, as `read` makes of it."""
        return self._netlink.ask(Request(self._number, 0, packed, asked), read)

    def dump(self, packed: bytes, asked: str, read: Callable[[Reply], T]) -> list[T]:
        """All that the command lists, each as `read` makes of it."""
        return self._netlink.dump(Request(self._number, wire.NLM_F_DUMP, packed, asked), read)


def _number(reply: Reply) -> int:
    return wire.as_int(wire.attributes(reply.payload, HEAD)[_FAMILY_ID])
