"""Cluster-wide pools that objects draw from: service addresses and node ports. In memory, filled from the
objects.

The objects are the truth: a pool is rebuilt from them at every start, so nothing can leak for good.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Container, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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
    """Cluster IPs of the configured ranges, one or one of each family, and of those that are added to them.

    `network` is the first of them: the cluster's own family.
    """

    def __init__(self, cidrs: str) -> None:
        """cidrs: separated by a comma."""
        super().__init__()
        self._own = tuple(ipaddress.ip_network(text.strip()) for text in cidrs.split(","))
        self.network = self._own[0]
        self._more: dict[str, list[Network]] = {}

    @property
    def families(self) -> tuple[str, ...]:
        """IPv4, IPv6: those that the cluster gives, its own first."""
        return tuple(f"IPv{network.version}" for network in self._own)

    def set_range(self, name: str, cidrs: Iterable[str]) -> None:
        """The ranges of one ServiceCIDR, of families that the cluster has; none for one that may not be used (any
        more)."""
        found = map(ipaddress.ip_network, cidrs)
        self._more[name] = [n for n in found if f"IPv{n.version}" in self.families and n not in self._own]

    def contains(self, address: str) -> bool:
        found = ipaddress.ip_address(address)
        return any(_offset(found, network) is not None for network in self._networks())

    def network_like(self, address: str) -> Network:
        """The cluster's own range of an address' family, else its first."""
        version = ipaddress.ip_address(address).version
        return next((network for network in self._own if network.version == version), self.network)

    def next(self, owner: str, family: str = "") -> str:
        """Take a free address, of the cluster's own family unless said otherwise, outside the static bands as long as
        there is one. Raises PoolFull."""
        wanted = family or self.families[0]
        for network in self._networks():
            if f"IPv{network.version}" == wanted and (address := self._next(network, owner)) is not None:
                return address
        raise PoolFull("range is full")

    def shown(self, family: str) -> str:
        """What a dry run shows of a family: the address of its range, which nobody is given. Raises PoolFull."""
        for network in self._networks():
            if f"IPv{network.version}" == family:
                return str(network.network_address)
        raise PoolFull("range is full")

    def _networks(self) -> Iterator[Network]:
        yield from self._own
        for networks in self._more.values():
            yield from networks

    def _next(self, network: Network, owner: str) -> str | None:
        count, first = min(_usable(network), 1 << 16), int(network.network_address) + 1
        low = band(count)
        for start, stop in ((low, count), (0, low)):
            size = stop - start
            if size <= 0:
                continue
            offset = random.randrange(size)
            for step in range(size):
                address = str(ipaddress.ip_address(first + start + (offset + step) % size))
                if self.owner(address) is None:
                    self.take(address, owner)
                    return address
        return None


def _usable(network: Network) -> int:
    """Network and (IPv4) broadcast addresses are never given out."""
    return network.num_addresses - (2 if network.version == 4 else 1)


def _offset(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: Network) -> int | None:
    """An address' place among the usable ones of a network; None outside of them."""
    offset = int(address) - int(network.network_address) - 1
    return offset if address.version == network.version and 0 <= offset < _usable(network) else None


class PortPool(Pool[int]):
    """Node ports of one range. A number belongs to one Service, whatever its protocols."""

    def __init__(self, text: str) -> None:
        super().__init__()
        low, _, high = text.partition("-")
        self.low, self.high = int(low), int(high)

    def contains(self, port: int) -> bool:
        return self.low <= port <= self.high

    def free(self, named: Container[int] = ()) -> int:
        """A number that nobody has, and none of those that somebody is about to take by name. Raises PoolFull."""
        count = self.high - self.low + 1
        low = band(count)
        for start, stop in ((low, count), (0, low)):
            size = stop - start
            if size <= 0:
                continue
            offset = random.randrange(size)
            for step in range(size):
                port = self.low + start + (offset + step) % size
                if self.owner(port) is None and port not in named:
                    return port
        raise PoolFull("range is full")
