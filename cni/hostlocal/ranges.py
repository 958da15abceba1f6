"""Which address is next: ranges of addresses, checked, and walked round-robin. Pure; addresses are integers
inside.

Source: https://www.cni.dev/plugins/current/ipam/host-local/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.kit.netlink.routes import Address, Network
from cni.types import INVALID_CONFIG, CniError


@dataclass(frozen=True)
class Range:
    """Addresses `start` to `end` (both included) of `subnet`; the gateway is never handed out."""

    subnet: Network
    start: Address
    end: Address
    gateway: Address

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
            return False
        return address.version == self.start.version and int(self.start) <= int(address) <= int(self.end)

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


RangeSet = tuple[Range, ...]


def parse_range(given: Mapping[str, Any]) -> Range:
    """A range from its configuration (`subnet`, optional `rangeStart`, `rangeEnd`, `gateway`); CniError(7)
    if wrong.
    """
    text = given.get("subnet")
    if not isinstance(text, str):
        raise CniError(INVALID_CONFIG, "a range needs a subnet")
    try:
        subnet = ipaddress.ip_network(text)
    except ValueError as problem:
        raise CniError(INVALID_CONFIG, f"subnet {text!r}: {problem}") from None
    if subnet.num_addresses < 4:
        raise CniError(INVALID_CONFIG, f"Network {subnet} too small to allocate from")
    last = subnet[-2] if subnet.version == 4 else subnet[-1]
    start = _inside(given, "rangeStart", subnet, subnet[1])
    end = _inside(given, "rangeEnd", subnet, last)
    if int(start) > int(end):
        raise CniError(INVALID_CONFIG, f"rangeStart {start} is after rangeEnd {end}")
    gateway = _address(given, "gateway") or subnet[1]
    if gateway.version != subnet.version:
        raise CniError(INVALID_CONFIG, f"gateway {gateway} is of another IP version than {subnet}")
    return Range(subnet, start, end, gateway)


def parse_sets(ipam: Mapping[str, Any], runtime: Sequence[Sequence[Mapping[str, Any]]] = ()) -> tuple[RangeSet, ...]:
    """Every set gives each container one address. `runtime`, the capability `ipRanges`, comes first, then a lone
    `subnet`.
    """
    given: list[Sequence[Mapping[str, Any]]] = list(runtime)
    if ipam.get("subnet"):
        given.append([ipam])
    given += list(ipam.get("ranges") or [])
    sets = tuple(tuple(parse_range(one) for one in ranges) for ranges in given)
    if not sets:
        raise CniError(INVALID_CONFIG, "no IP ranges specified")
    _check_sets(sets)
    return sets


def candidates(ranges: RangeSet, last: Address | None) -> Iterator[tuple[Address, Range]]:
    """Every address of the set once, beginning after `last`, wrapping around; gateways left out."""
    order = list(ranges)
    place = next((n for n, one in enumerate(order) if last in one), None)
    if place is None or last is None:
        for one in order:
            yield from _walk(one, int(one.start), int(one.end))
        return
    here = order[place]
    yield from _walk(here, int(last) + 1, int(here.end))
    for one in order[place + 1 :] + order[:place]:
        yield from _walk(one, int(one.start), int(one.end))
    yield from _walk(here, int(here.start), int(last))


def first_free(
    ranges: RangeSet, last: Address | None, taken: Callable[[Address], bool]
) -> tuple[Address, Range] | None:
    return next((pair for pair in candidates(ranges, last) if not taken(pair[0])), None)


def find(ranges: RangeSet, address: Address) -> Range | None:
    return next((one for one in ranges if address in one), None)


def show(ranges: RangeSet) -> str:
    return ",".join(map(str, ranges))


def _walk(one: Range, start: int, end: int) -> Iterator[tuple[Address, Range]]:
    make = type(one.start)
    gateway = int(one.gateway)
    for number in range(start, end + 1):
        if number != gateway:
            yield make(number), one


def _inside(given: Mapping[str, Any], key: str, subnet: Network, default: Address) -> Address:
    address = _address(given, key) or default
    if address not in subnet:
        raise CniError(INVALID_CONFIG, f"{key} {address} not in network {subnet}")
    return address


def _address(given: Mapping[str, Any], key: str) -> Address | None:
    if not given.get(key):
        return None
    try:
        return ipaddress.ip_address(given[key])
    except ValueError as problem:
        raise CniError(INVALID_CONFIG, f"{key}: {problem}") from None


def _check_sets(sets: tuple[RangeSet, ...]) -> None:
    for number, ranges in enumerate(sets):
        if not ranges:
            raise CniError(INVALID_CONFIG, f"range set {number} is empty")
        if len({one.subnet.version for one in ranges}) > 1:
            raise CniError(INVALID_CONFIG, f"range set {number} mixes IPv4 and IPv6")
    flat = [(number, one) for number, ranges in enumerate(sets) for one in ranges]
    for place, (_, one) in enumerate(flat):
        for _, other in flat[place + 1 :]:
            if one.start in other or other.start in one:
                raise CniError(INVALID_CONFIG, f"ranges {one} and {other} overlap")
