"""The little the network needs of a Node object. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from apimachinery.kit.netlink.routes import Address, Network
from apimachinery.objects import Obj, name


@dataclass(frozen=True)
class NodeNetwork:
    """A node's pod CIDRs and InternalIPs, in the object's order; what cannot be read is left out."""

    name: str
    cidrs: tuple[Network, ...]
    addresses: tuple[Address, ...]


def extract(node: Obj) -> NodeNetwork:
    spec = node.get("spec") or {}
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    status = node.get("status") or {}
    internal = [a["address"] for a in status.get("addresses") or [] if a.get("type") == "InternalIP"]
    return NodeNetwork(
        name=name(node),
        cidrs=tuple(c for c in map(_network, cidrs) if c is not None),
        addresses=tuple(a for a in map(_address, internal) if a is not None),
    )


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
