"""The bytes that tell neighbours of an address."""

from __future__ import annotations

import ipaddress

from lab.cloud import packets

MAC = bytes.fromhex("02005e000001")


def test_an_arp_announcement_asks_for_ones_own_address() -> None:
    frame = packets.arp_announcement(ipaddress.IPv4Address("10.89.0.21"), MAC)
    assert frame.hex(" ", 2) == (
        "ffff ffff ffff 0200 5e00 0001 0806 0001 0800 0604 0001 0200 5e00 0001 0a59 0015 0000 0000 0000 0a59 0015"
    )


def test_a_neighbour_advertisement_overrides_what_was_known() -> None:
    message = packets.neighbour_advertisement(ipaddress.IPv6Address("fd00::21"), MAC)
    assert message.hex(" ", 2) == ("8800 0000 2000 0000 fd00 0000 0000 0000 0000 0000 0000 0021 0201 0200 5e00 0001")
