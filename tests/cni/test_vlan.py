"""VLANs of the bridge: settings, and a kernel that cannot keep them apart. What a kernel does that can: tests/vm."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.kit.netlink import End, Netlink, links, vlans
from apimachinery.kit.netlink.vlans import Vlan
from cni import types
from cni.bridge import config, vlan
from cni.bridge.vlan import Vlans
from cni.skel import Request
from cni.types import CniError
from tests.cni import kernel


def parsed(**given: Any) -> Vlans:
    return config.parse(Request("ADD", "c1", "/x", "eth0", config={"name": "net", **given})).vlans


def test_which_vlans_a_port_is_in() -> None:
    assert not parsed() and not parsed(vlan=0, vlanTrunk=[], preserveDefaultVlan=True)
    assert parsed(vlan=10).wanted == {Vlan(10, True)}
    trunk = [{"minID": 10, "maxID": 12, "id": 30}, {"id": 11}]
    assert parsed(vlanTrunk=trunk).wanted == {Vlan(1, True), Vlan(10), Vlan(11), Vlan(12), Vlan(30)}
    # Its own one has no tag, whatever the trunk says.
    assert parsed(vlan=11, vlanTrunk=trunk).wanted == {Vlan(11, True), Vlan(10), Vlan(12), Vlan(30)}
    assert parsed(vlan=11, vlanTrunk=trunk).alone.wanted == {Vlan(11, True)}


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({"vlan": 4095}, 7, "vlan: 4095"),
        ({"vlan": -1}, 7, "vlan: -1"),
        ({"vlan": "10"}, 6, "vlan: '10'"),
        ({"vlan": True}, 6, "vlan: True"),
        ({"preserveDefaultVlan": 1}, 6, "preserveDefaultVlan"),
        ({"vlanTrunk": {"id": 1}}, 6, "vlanTrunk"),
        ({"vlanTrunk": [5]}, 6, r"vlanTrunk\[0\]"),
        ({"vlanTrunk": [{"id": 1}, {"minID": 3}]}, 7, r"vlanTrunk\[1\].*maxID is missing"),
        ({"vlanTrunk": [{"maxID": 3}]}, 7, "minID is missing"),
        ({"vlanTrunk": [{"minID": 3, "maxID": 2}]}, 7, "greater"),
        ({"vlanTrunk": [{"minID": 0, "maxID": 2}]}, 7, "minID: 0"),
        ({"vlanTrunk": [{"id": 0}]}, 7, "id: 0"),
    ],
)
def test_what_no_vlan_can_be_is_refused_by_name(given: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(CniError, match=text) as refused:
        parsed(**given)
    assert refused.value.code == code


def test_a_range_is_told_as_one_and_the_native_one_last() -> None:
    whole = vlans.add(7, [Vlan(5, True), *map(Vlan, range(100, 4000))])
    assert len(whole.payload) < 64, "not a word for each"
    one, two = (vlans.add(7, [Vlan(5, True), Vlan(9)]).payload, vlans.add(7, [Vlan(9), Vlan(5, True)]).payload)
    assert one == two and one.endswith(b"\x06\x00\x05\x00")


@pytest.mark.kernel
def test_a_kernel_that_cannot_keep_vlans_apart_is_told() -> None:
    with kernel.namespaces(1, "n") as (node,), Netlink(node) as opened:
        opened.do(links.add_bridge(End("whtbr0")))
        bridge = opened.link("whtbr0")
        assert bridge is not None and not vlans.filters(bridge)
        # Only in a kernel that can ports begin in one.
        if vlans.default_of(bridge):
            assert vlans.filters(vlan.filtering(opened, bridge))
            return
        with pytest.raises(CniError, match="vlan, vlanTrunk: .*CONFIG_BRIDGE_VLAN_FILTERING") as refused:
            vlan.filtering(opened, bridge)
        assert refused.value.code == types.UNSUPPORTED_FIELD


@pytest.mark.kernel
def test_a_gateway_that_another_call_made_or_left_unfinished_is_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[str] = []
    # What this kernel need not be able to do.
    monkeypatch.setattr(vlan, "join", lambda _kernel, _bridge, port, _wanted: joined.append(port))
    with kernel.namespaces(1, "n") as (node,), Netlink(node) as opened:
        opened.do(links.add_bridge(End("whtbr0")))
        bridge = opened.link("whtbr0")
        assert bridge is not None
        first = vlan.gateway(opened, bridge, "0a:58:0a:58:07:01", Vlans(10))
        opened.do(links.change(first.index, up=False))
        looked: list[object] = []

        def late(ref: int | str) -> Any:
            looked.append(ref)
            return None if looked == ["whtbr0.10"] else Netlink.link(opened, ref)

        monkeypatch.setattr(opened, "link", late)
        again = vlan.gateway(opened, bridge, "0a:58:0a:58:07:01", Vlans(10))
        assert again.index == first.index and joined[0] == joined[1] and len(joined) == 2
        there = Netlink.link(opened, "whtbr0.10")
        assert there is not None and there.up
        assert len(opened.links()) == 4, "the bridge, both ends and lo"
        opened.do(links.change(joined[0], master=0))
        with pytest.raises(CniError, match="not the gateway of a VLAN"):
            vlan.gateway(opened, bridge, "0a:58:0a:58:07:01", Vlans(10))
