"""Cluster-wide pools that objects draw from: service addresses and node ports. In memory, filled from the
objects.

The objects are the truth: a pool is rebuilt from them at every start, so nothing can leak for good.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

# Upstream keeps the lower part of each range for people who choose themselves.
_MIN_BAND, _MAX_BAND, _BAND_STEP = 16, 256, 16


class PoolFull(Exception):
    """Everything is taken."""


class Pool(Generic[T]):
    """What is taken and by whom (an opaque owner key)."""

    def __init__(self) -> None:
        self._owners: dict[T, str] = {}

    def owner(self, item: T) -> str | None:
        return self._owners.get(item)

    def take(self, item: T, owner: str) -> bool:
        """False when somebody else has it."""
        return self._owners.setdefault(item, owner) == owner

    def give_back(self, item: T, owner: str) -> None:
        if self._owners.get(item) == owner:
            del self._owners[item]

    def __len__(self) -> int:
        return len(self._owners)


def band(size: int) -> int:
    """How many of a range's first items are left to static choice."""
    if size < _MIN_BAND:
        return 0
    return min(max(_MIN_BAND, size // _BAND_STEP), _MAX_BAND)


class AddressPool(Pool[str]):
    """Cluster IPs of one range."""

    def __init__(self, cidr: str) -> None:
        super().__init__()
        self.network = ipaddress.ip_network(cidr)
        # Network and (IPv4) broadcast addresses are never given out.
        last = 2 if self.network.version == 4 else 1
        self._count = min(self.network.num_addresses - last, 1 << 16)
        self._first = int(self.network.network_address) + 1

    def contains(self, address: str) -> bool:
        found = ipaddress.ip_address(address)
        if found.version != self.network.version:
            return False
        offset = int(found) - self._first
        return 0 <= offset < self.network.num_addresses - (2 if found.version == 4 else 1)

    def next(self, owner: str) -> str:
        """Take a free address, outside the static band as long as there is one. Raises PoolFull."""
        low = band(self._count)
        for start, stop in ((low, self._count), (0, low)):
            size = stop - start
            if size <= 0:
                continue
            offset = random.randrange(size)
            for step in range(size):
                address = str(ipaddress.ip_address(self._first + start + (offset + step) % size))
                if self.owner(address) is None:
                    self.take(address, owner)
                    return address
        raise PoolFull("range is full")


class PortPool(Pool[tuple[int, str]]):
    """Node ports of one range, a port number apart for each protocol."""

    def __init__(self, text: str) -> None:
        super().__init__()
        low, _, high = text.partition("-")
        self.low, self.high = int(low), int(high)

    def contains(self, port: int) -> bool:
        return self.low <= port <= self.high

    def next(self, protocols: tuple[str, ...], owner: str) -> int:
        """Take a port number free for all of these protocols. Raises PoolFull."""
        count = self.high - self.low + 1
        low = band(count)
        for start, stop in ((low, count), (0, low)):
            size = stop - start
            if size <= 0:
                continue
            offset = random.randrange(size)
            for step in range(size):
                port = self.low + start + (offset + step) % size
                if all(self.owner((port, protocol)) is None for protocol in protocols):
                    for protocol in protocols:
                        self.take((port, protocol), owner)
                    return port
        raise PoolFull("range is full")
