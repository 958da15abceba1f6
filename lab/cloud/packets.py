"""How a node says that an address is its own now. Pure.

RFC 5227, section 3 (ARP announcement): neighbours that know the address learn the new link-layer address. RFC 4861,
section 7.2.6 (unsolicited neighbour advertisement) for IPv6.
"""

from __future__ import annotations

import ipaddress
import struct

BROADCAST = b"\xff" * 6
ETH_ARP = 0x0806
ALL_NODES = "ff02::1"
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST = 1
_NEIGHBOUR_ADVERTISEMENT = 136
_OVERRIDE = 0x20000000
_TARGET_LINK_ADDRESS = 2


def arp_announcement(address: ipaddress.IPv4Address, mac: bytes) -> bytes:
    """The whole Ethernet frame: a request for one's own address, to everybody."""
    body = _ARP.pack(1, 0x0800, 6, 4, _REQUEST, mac, address.packed, bytes(6), address.packed)
    return BROADCAST + mac + struct.pack("!H", ETH_ARP) + body


def neighbour_advertisement(address: ipaddress.IPv6Address, mac: bytes) -> bytes:
    """The ICMPv6 message; its checksum is the kernel's to fill in."""
    head = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _OVERRIDE)
    return head + address.packed + struct.pack("!BB", _TARGET_LINK_ADDRESS, 1) + mac
