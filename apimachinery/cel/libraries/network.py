"""IP addresses, networks and URLs. Source: the documentation of the Kubernetes CEL libraries."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from apimachinery.addresses import Address, Interface
from apimachinery.cel.libraries import costs
from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload, object_type
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.kinds import Count, Opaque
from apimachinery.errors import quoted
from apimachinery.urls import parameters, unreadable

# The parts of what can be read: scheme, authority, path, query.
_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?", re.DOTALL)


@dataclass(frozen=True)
class IP(Opaque):
    """An address."""

    address: Address

    cel_type = object_type("net.IP")


@dataclass(frozen=True)
class CIDR(Opaque):
    """An address with the length of its network's prefix."""

    prefix: Interface

    cel_type = object_type("net.CIDR")


@dataclass(frozen=True)
class URL(Opaque):
    """A URL, as it was written."""

    text: str

    cel_type = object_type("kubernetes.URL")


def ip(text: str) -> IP:
    """Raises EvaluationError."""
    if "%" in text:
        raise EvaluationError(f"IP address {quoted(text)} with zone value is not allowed")
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise EvaluationError(
            f"IP Address {quoted(text)} parse error during conversion from string: "
            f"ParseAddr({quoted(text)}): {_why(text)}"
        ) from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return IP(address)


def _why(text: str) -> str:
    if ":" not in text and "." not in text:
        return "unable to parse IP"
    if ":" not in text:
        parts = text.split(".")
        if len(parts) < 4:
            return "IPv4 address too short"
        if len(parts) > 4:
            return "IPv4 address too long"
        if any(len(part) > 1 and part.startswith("0") for part in parts):
            return "IPv4 field has octet with leading zero"
        if any(re.fullmatch(r"\d+", part, re.ASCII) and int(part[:4]) > 255 for part in parts):
            return "IPv4 field has value >255"
        return "unexpected character"
    return "unable to parse IP"


def cidr(text: str) -> CIDR:
    """Raises EvaluationError."""
    address, slash, length = text.partition("/")
    wrong = "network address parse error during conversion from string: "
    if not slash:
        raise EvaluationError(f"{wrong}{wrong}netip.ParsePrefix({quoted(text)}): no '/'")
    if not re.fullmatch(r"0|[1-9]\d{0,17}", length, re.ASCII):
        raise EvaluationError(
            f"{wrong}{wrong}netip.ParsePrefix({quoted(text)}): bad bits after slash: {quoted(length)}"
        )
    found = ip(address).address
    if int(length) > found.max_prefixlen:
        raise EvaluationError(f"{wrong}{wrong}netip.ParsePrefix({quoted(text)}): prefix length out of range")
    return CIDR(ipaddress.ip_interface(f"{address}/{length}"))


def url(text: str) -> URL:
    """An absolute URL or path. Raises EvaluationError."""
    why = unreadable(text) if text else "empty url"
    if not why and not (text.startswith("/") or _part(text, 1)):
        why = "invalid URI for request"
    if why:
        raise EvaluationError(f"URL parse error during conversion from string: parse {quoted(text)}: {why}")
    return URL(text)


def _part(text: str, number: int) -> str:
    found = _URL.match(text)
    assert found is not None
    return found[number] or ""


def _scheme(given: URL) -> str:
    return _part(given.text, 1).lower()


def _host(given: URL) -> str:
    return unquote(_part(given.text, 2).rpartition("@")[2])


def _hostname(given: URL) -> str:
    host = _host(given)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _port(given: URL) -> str:
    return _host(given).rpartition("]")[2].partition(":")[2]


def _path(given: URL) -> str:
    return quote(_part(given.text, 3), safe="/%:@!$&'()*+,;=~-._[]")


def _query(given: URL) -> dict[str, list[str]]:
    return parameters(_part(given.text, 4))


def _reading(read: Callable[[URL], Any]) -> Callable[[Count, URL], Any]:
    def counted(count: Count, given: URL) -> Any:
        count(len(given.text))
        return read(given)

    return counted


def _is(parse: Callable[[str], Opaque]) -> Callable[[str], bool]:
    def judged(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return judged


def _holds(network: CIDR, address: IP) -> bool:
    return address.address in network.prefix.network


def _holds_network(network: CIDR, other: CIDR) -> bool:
    same = network.prefix.version == other.prefix.version
    return same and other.prefix.network.subnet_of(network.prefix.network)  # type: ignore[arg-type]


def _is_global(given: IP) -> bool:
    address = given.address
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not special and str(address) != "255.255.255.255"


def _link_local_multicast(given: IP) -> bool:
    address = given.address
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.ip_network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 2


def _masked(given: CIDR) -> CIDR:
    return CIDR(ipaddress.ip_interface(str(given.prefix.network)))


def _addresses() -> Iterator[Overload]:
    yield function("ip(string) -> net.IP", ip, costs.text)
    yield function("isIP(string) -> bool", _is(ip), costs.text)
    yield function("ip.isCanonical(string) -> bool", lambda text: str(ip(text).address) == text, costs.twice)
    yield function("net.IP.family() -> int", lambda given: given.address.version)
    yield function("net.IP.isUnspecified() -> bool", lambda given: given.address.is_unspecified)
    yield function("net.IP.isLoopback() -> bool", lambda given: given.address.is_loopback)
    yield function("net.IP.isLinkLocalMulticast() -> bool", _link_local_multicast)
    yield function("net.IP.isLinkLocalUnicast() -> bool", lambda given: given.address.is_link_local)
    yield function("net.IP.isGlobalUnicast() -> bool", _is_global)
    yield function("string(net.IP) -> string", lambda given: str(given.address))
    yield function("cidr(string) -> net.CIDR", cidr, costs.text)
    yield function("isCIDR(string) -> bool", _is(cidr), costs.text)
    yield function("net.CIDR.containsIP(string) -> bool", lambda given, text: _holds(given, ip(text)))
    yield function("net.CIDR.containsIP(net.IP) -> bool", _holds)
    yield function("net.CIDR.containsCIDR(string) -> bool", lambda given, text: _holds_network(given, cidr(text)))
    yield function("net.CIDR.containsCIDR(net.CIDR) -> bool", _holds_network)
    yield function("net.CIDR.ip() -> net.IP", lambda given: IP(given.prefix.ip))
    yield function("net.CIDR.prefixLength() -> int", lambda given: given.prefix.network.prefixlen)
    yield function("net.CIDR.masked() -> net.CIDR", _masked)
    yield function("string(net.CIDR) -> string", lambda given: str(given.prefix))


def _urls() -> Iterator[Overload]:
    yield function("url(string) -> kubernetes.URL", url, costs.text)
    yield function("isURL(string) -> bool", _is(url), costs.text)
    for name, read in (
        ("getScheme", _scheme),
        ("getHost", _host),
        ("getHostname", _hostname),
        ("getPort", _port),
        ("getEscapedPath", _path),
    ):
        yield function(f"kubernetes.URL.{name}() -> string", _reading(read), counts=True)
    yield function("kubernetes.URL.getQuery() -> map(string, list(string))", _reading(_query), counts=True)


FUNCTIONS: tuple[Overload, ...] = (*_addresses(), *_urls())
