"""Addresses as the API has always read them: IPv4 with zeros in front of a number, which say nothing (KEP-4858)."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["Address", "Interface", "address", "interface", "without_zeros"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_LEADING_ZERO = re.compile(r"(^|\.)0[0-9]")


def without_zeros(text: str) -> str:
    """An address with its numbers as they are usually written; one of IPv6 as it stands."""
    if ":" in text or not _LEADING_ZERO.search(text):
        return text
    return ".".join(part.lstrip("0") or "0" for part in text.split("."))


def address(text: str) -> Address | None:
    """An address; None for what is none, and for one of a zone."""
    try:
        return None if "%" in text else ipaddress.ip_address(without_zeros(text))
    except ValueError:
        return None


def interface(text: str) -> Interface | None:
    """An address and the length of its prefix, "10.0.0.1/8"; None for what is neither."""
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or "%" in address:
        return None
    try:
        return ipaddress.ip_interface(f"{without_zeros(address)}/{int(length)}")
    except ValueError:
        return None
