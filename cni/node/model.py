"""The little the network needs of a Node object. Pure."""

from __future__ import annotations

import base64
import ipaddress
import json
from dataclasses import dataclass

from apimachinery.kit.netlink.links import mac_bytes
from apimachinery.kit.netlink.routes import Address, Network
from apimachinery.kit.wireguard import KEY_BYTES
from apimachinery.objects import Obj, name

ANNOTATION = "wherry.local/vxlan"
"""On a Node that takes packets by vxlan: {"vni": number, "port": UDP port, "mac": of its device}."""
KEY_ANNOTATION = "wherry.local/wireguard"
"""On a Node that takes packets by WireGuard: {"key": its public one in base64, "port": UDP port}."""


@dataclass(frozen=True)
class NodeNetwork:
    """A node's pod CIDRs and InternalIPs, in the object's order; what cannot be read is left out."""

    name: str
    cidrs: tuple[Network, ...]
    addresses: tuple[Address, ...]
    vni: int = 0
    port: int = 0
    mac: str = ""
    """of its vxlan device; "" while it takes no encapsulated packets"""
    key: str = ""
    """public, of its WireGuard device; "" while it takes no encrypted packets"""
    key_port: int = 0
    announced: tuple[tuple[str, str], ...] = ()
    """the annotations as they stand, (name, value)"""


def extract(node: Obj) -> NodeNetwork:
    spec = node.get("spec") or {}
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    status = node.get("status") or {}
    internal = [a["address"] for a in status.get("addresses") or [] if a.get("type") == "InternalIP"]
    annotations = node["metadata"].get("annotations") or {}
    vni, port, mac = _announced(annotations.get(ANNOTATION, ""))
    key, key_port = _key(annotations.get(KEY_ANNOTATION, ""))
    return NodeNetwork(
        name=name(node),
        cidrs=tuple(c for c in map(_network, cidrs) if c is not None),
        addresses=tuple(a for a in map(_address, internal) if a is not None),
        vni=vni,
        port=port,
        mac=mac,
        key=key,
        key_port=key_port,
        announced=tuple((k, annotations[k]) for k in (ANNOTATION, KEY_ANNOTATION) if k in annotations),
    )


def _announced(text: str) -> tuple[int, int, str]:
    """(number, port, MAC) of an annotation; (0, 0, "") for none, and for one that says something else."""
    try:
        said = json.loads(text)
        mac_bytes(said["mac"])
        return int(said["vni"]), int(said["port"]), str(said["mac"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return 0, 0, ""


def _key(text: str) -> tuple[str, int]:
    """(public key, UDP port); ("", 0) for no annotation, and for one that says something else."""
    try:
        said = json.loads(text)
        key, port = str(said["key"]), int(said["port"])
        whole = len(base64.b64decode(key, validate=True)) == KEY_BYTES and 0 < port < 65536
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", 0
    return (key, port) if whole else ("", 0)


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
