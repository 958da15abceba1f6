"""The settings `vlan`, `vlanTrunk`, `preserveDefaultVlan`: which VLANs of the bridge a pod's port is in.

    pod ── no tag ──> port ── native VLAN ─┬─ ports of the same VLAN
                      tags of the trunk    └─ <bridge>.<vlan>, a link of the node with the gateway's address

Whether a kernel that cannot keep VLANs apart refuses to is its own affair, so what the bridge does is read back.

Source: https://www.cni.dev/plugins/current/main/bridge/
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.kit.netlink import End, Link, Netlink, links, vlans
from apimachinery.kit.netlink.vlans import MOST, Vlan
from cni import types
from cni.host import be_no_host
from cni.types import CniError

# What a trunk has without a tag where nobody says.
_NATIVE = 1


@dataclass(frozen=True)
class Vlans:
    """`number` is that of the pod's own VLAN, 0 for none; `trunk` those whose tags it may use beside. `keep_default`:
    the port stays in the VLAN in which every port of the bridge begins.
    """

    number: int = 0
    trunk: tuple[int, ...] = ()
    keep_default: bool = False

    def __bool__(self) -> bool:
        return bool(self.number or self.trunk)

    @property
    def alone(self) -> Vlans:
        """Without the trunk."""
        return replace(self, trunk=())

    @property
    def wanted(self) -> frozenset[Vlan]:
        """What the port shall be in, beside the bridge's default."""
        native = self.number or _NATIVE
        return frozenset([Vlan(native, True), *(Vlan(n) for n in self.trunk if n != native)]) if self else frozenset()


def parse(given: Mapping[str, Any]) -> Vlans:
    """CniError(6) for what is of another type, CniError(7) for numbers that no VLAN has."""
    keep = given.get("preserveDefaultVlan", False)
    if not isinstance(keep, bool):
        raise CniError(types.DECODING_FAILURE, f"preserveDefaultVlan: {keep!r} is not true or false")
    number = given.get("vlan")
    if number is not None and _whole("vlan", number) != 0:
        _number("vlan", number)
    trunk = given.get("vlanTrunk") or []
    if not isinstance(trunk, list):
        raise CniError(types.DECODING_FAILURE, f"vlanTrunk: {trunk!r} is not a list")
    numbers = {n for place, one in enumerate(trunk) for n in _numbers(f"vlanTrunk[{place}]", one)}
    return Vlans(number or 0, tuple(sorted(numbers)), keep)


def _numbers(at: str, one: Any) -> set[int]:
    """Of a range, a single one, or both."""
    if not isinstance(one, dict):
        raise CniError(types.DECODING_FAILURE, f"{at} is not an object")
    found: set[int] = set()
    first, last = one.get("minID"), one.get("maxID")
    if (first is None) != (last is None):
        missing = "minID" if first is None else "maxID"
        raise CniError(types.INVALID_CONFIG, f"{at}: minID and maxID belong together, and {missing} is missing")
    if first is not None:
        first, last = _number(f"{at}.minID", first), _number(f"{at}.maxID", last)
        if last < first:
            raise CniError(types.INVALID_CONFIG, f"{at}: minID {first} is greater than maxID {last}")
        found.update(range(first, last + 1))
    if one.get("id") is not None:
        found.add(_number(f"{at}.id", one["id"]))
    return found


def _number(at: str, value: Any) -> int:
    if not 0 < _whole(at, value) <= MOST:
        raise CniError(types.INVALID_CONFIG, f"{at}: {value} is not the number of a VLAN, 1 to {MOST}")
    return int(value)


def _whole(at: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CniError(types.DECODING_FAILURE, f"{at}: {value!r} is not a number")
    return value


def filtering(kernel: Netlink, bridge: Link) -> Link:
    """The bridge, keeping VLANs apart from now on. CniError(2) where the kernel cannot."""
    if vlans.filters(bridge):
        return bridge
    kernel.do(replace(vlans.filter_by(bridge.index), ignore=(errno.EOPNOTSUPP,)))
    found = kernel.link(bridge.index)
    if found is None or not vlans.filters(found):
        text = "vlan, vlanTrunk: this kernel's bridge cannot keep VLANs apart (CONFIG_BRIDGE_VLAN_FILTERING)"
        raise CniError(types.UNSUPPORTED_FIELD, text)
    return found


def join(kernel: Netlink, bridge: Link, port: str, wanted: Vlans) -> None:
    """Put a new port of the bridge into its VLANs, and out of the one in which it began."""
    index = kernel.index(port)
    default = vlans.default_of(bridge)
    first = [vlans.delete(index, default)] if default and not wanted.keep_default else []
    kernel.do(*first, vlans.add(index, wanted.wanted))


def check(kernel: Netlink, port: Link, wanted: Vlans) -> None:
    """CniError when the port is not in all of its VLANs."""
    held = dict(kernel.dump(vlans.dump(), vlans.parse)).get(port.index, frozenset())
    if missing := wanted.wanted - held:
        listed = ", ".join(str(vlan.number) for vlan in sorted(missing))
        raise CniError(types.INTERNAL, f"{port.name} is not in VLAN {listed} any more")


def gateway(kernel: Netlink, bridge: Link, mac: str, wanted: Vlans) -> Link:
    """The node's link in the pod's own VLAN, made where it is missing; up, and for the gateway's address. Safe when
    several make it at once."""
    name = f"{bridge.name}.{wanted.number}"
    if len(name) > links.NAME_LIMIT:
        text = f"vlan {wanted.number}: the gateway's link would be {name}, longer than {links.NAME_LIMIT} characters"
        raise CniError(types.INVALID_CONFIG, text)
    found = kernel.link(name)
    if found is None:
        near = End("veth" + os.urandom(5).hex(), mtu=bridge.mtu, master=bridge.index)
        kernel.do(replace(links.add_veth(near, End(name, mac=mac, mtu=bridge.mtu)), ignore=(errno.EEXIST,)))
        found = kernel.link(name)
    port = kernel.link(found.peer) if found is not None and found.kind == "veth" else None
    if found is None or port is None or port.master != bridge.index:
        raise CniError(types.INTERNAL, f"{name} already exists but is not the gateway of a VLAN")
    if not found.up:
        # It comes up last: one that is down was made by this call, or by one that was killed on its way here.
        join(kernel, bridge, port.name, wanted.alone)
        be_no_host(name)
        kernel.do(links.change(found.index, up=True))
    return found
