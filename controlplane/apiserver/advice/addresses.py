"""Addresses and ranges that are let pass though one program may read them otherwise than another (KEP-4858)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from apimachinery import errors
from apimachinery.addresses import address as read
from apimachinery.addresses import interface, without_zeros


def address(path: str, text: str) -> Iterator[str]:
    """About a valid address."""
    found = read(text)
    if found is None:
        return
    shown = errors.quoted(text)
    mapped = found.ipv4_mapped if found.version == 6 else None
    if mapped is not None or without_zeros(text) != text:
        yield f'{path}: non-standard IP address {shown} is invalid: use "{mapped or found}"'
    elif found.version == 6 and str(found) != text:
        yield f'{path}: IPv6 address {shown} should be in RFC 5952 canonical format ("{found}")'


def network(path: str, text: str) -> Iterator[str]:
    """About a valid range of addresses."""
    found = interface(text)
    if found is None:
        return
    start, _, length = text.partition("/")
    zeros = without_zeros(start) != start or length != str(found.network.prefixlen)
    mapped = found.ip.ipv4_mapped if found.version == 6 else None
    if mapped is not None and found.network.prefixlen >= 96:
        found = ipaddress.ip_interface(f"{mapped}/{found.network.prefixlen - 96}")
    shown, odd = errors.quoted(text), mapped is not None or zeros
    if found.ip != found.network.network_address:
        alone = f"{found.ip}/{found.max_prefixlen}"
        yield f'{path}: CIDR value {shown} is ambiguous in this context (should be "{found.network}" or "{alone}"?)'
        if not odd:
            return
    if odd:
        yield f'{path}: non-standard CIDR value {shown} is invalid: use "{found.network}"'
    elif found.version == 6 and str(found.network) != text:
        yield f'{path}: IPv6 CIDR value {shown} should be in RFC 5952 canonical format ("{found.network}")'
