"""The addresses of this host's devices, as modes ask for them that must have Services' addresses themselves."""

from __future__ import annotations

from collections.abc import Collection

from apimachinery.kit.netlink import Netlink
from netproxy.model import Family


def host_addresses(kernel: Netlink, families: Collection[Family]) -> list[tuple[str, int]]:
    """Each address of these families with the index of its link; none of loopback, none that is local to a link.

    Raises OSError.
    """
    versions = {family.value for family in families}
    found = ((address.interface.ip, address.index) for address in kernel.addresses())
    return [
        (str(ip), link) for ip, link in found if ip.version in versions and not (ip.is_loopback or ip.is_link_local)
    ]
