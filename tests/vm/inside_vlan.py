"""Run in the guest by test_podnet: pods in VLANs of one bridge."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, vlans
from apimachinery.kit.netlink.vlans import Vlan
from cni import plugins, skel
from cni.host import Host, free_retired_now
from tests.cni import kernel
from tests.conftest import SLOWNESS

pytestmark = pytest.mark.vm
NAMES = ("a", "b", "c", "d")


@dataclass
class Site:
    """A node with one bridge, and pods by name."""

    node: Path
    pods: dict[str, Path]
    data: Path

    def call(self, what: str, pod: str, result: Any = None, **more: Any) -> dict[str, Any]:
        """What the plugin answers; CniError's code and words where it refuses."""
        subnet = {"subnet": "10.88.7.0/24"}
        ipam = {"type": "host-local", "dataDir": str(self.data), "ranges": [[subnet]]}
        given = {"cniVersion": "1.1.0", "name": "whtnet", "bridge": "whtbr0", "isGateway": True, "ipam": ipam, **more}
        given |= {"prevResult": result} if result else {}
        environment = {"CNI_COMMAND": what, "CNI_CONTAINERID": pod, "CNI_NETNS": str(self.pods[pod])}
        environment |= {"CNI_IFNAME": "eth0", "CNI_PATH": "/nowhere"}

        def inside() -> bytes:
            plugin = plugins.by_name("bridge")
            assert plugin is not None
            with Netlink() as opened:
                host = Host(opened, functools.partial(free_retired_now, opened), self.data)
                return skel.answer(plugin, environment, json.dumps(given).encode(), host)[1]

        answer = netns.call(self.node, inside)
        return dict(json.loads(answer)) if answer else {}

    def of_port(self, result: dict[str, Any]) -> frozenset[Vlan]:
        with Netlink(self.node) as opened:
            held = dict(opened.dump(vlans.dump(), vlans.parse))
            return held[opened.index(result["interfaces"][1]["name"])]

    def reaches(self, pod: str, address: str) -> bool:
        try:
            kernel.ask(self.pods[pod], address, timeout=3.0 * SLOWNESS)
        except OSError:
            return False
        return True


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(len(NAMES), "p") as pods:
        yield Site(node, dict(zip(NAMES, pods, strict=True)), tmp_path)


def ip(namespace: Path, words: str) -> None:
    subprocess.run(["nsenter", f"--net={namespace}", "ip", *words.split()], check=True, timeout=60)


def test_pods_hear_their_own_vlan_alone(site: Site) -> None:
    # One network in two VLANs: the node itself can have its gateway in one of them alone.
    made = {pod: site.call("ADD", pod, isGateway=False) for pod in ("a", "d")}
    made |= {pod: site.call("ADD", pod, vlan=10) for pod in ("b", "c")}
    address = {pod: kernel.address_of(result) for pod, result in made.items()}
    with kernel.echo(site.pods["b"]), kernel.echo(site.pods["a"]), kernel.echo(site.node):
        assert site.reaches("c", address["b"]) and site.reaches("d", address["a"])
        assert not site.reaches("c", address["a"]) and not site.reaches("d", address["b"])
        assert site.reaches("c", "10.88.7.1") and not site.reaches("d", "10.88.7.1")
    assert site.of_port(made["b"]) == {Vlan(10, True)} and site.of_port(made["a"]) == {Vlan(1, True)}
    names = [interface["name"] for interface in made["b"]["interfaces"]]
    assert names[0] == "whtbr0" and names[2:] == ["eth0", "whtbr0.10"]
    assert [interface["name"] for interface in made["a"]["interfaces"]][2:] == ["eth0"]
    assert site.call("CHECK", "b", made["b"], vlan=10) == {}
    assert site.call("DEL", "b", made["b"], vlan=10) == {}


def test_a_port_that_somebody_took_out_of_its_vlan_is_noticed(site: Site) -> None:
    result = site.call("ADD", "a", vlan=10, vlanTrunk=[{"minID": 20, "maxID": 22}])
    assert site.call("CHECK", "a", result, vlan=10, vlanTrunk=[{"minID": 20, "maxID": 22}]) == {}
    with Netlink(site.node) as opened:
        opened.do(vlans.delete(opened.index(result["interfaces"][1]["name"]), 21))
    told = site.call("CHECK", "a", result, vlan=10, vlanTrunk=[{"minID": 20, "maxID": 22}])
    assert told["msg"].endswith("is not in VLAN 21 any more")


def test_a_trunk_carries_the_tags_of_several(site: Site) -> None:
    ends = {pod: site.call("ADD", pod, vlan=number) for pod, number in (("a", 10), ("b", 12))}
    trunk = site.call("ADD", "c", vlanTrunk=[{"minID": 10, "maxID": 11}, {"id": 30}], isGateway=False)
    assert site.of_port(trunk) == {Vlan(1, True), Vlan(10), Vlan(11), Vlan(30)}
    pod = site.pods["c"]
    for number in (10, 12):
        ip(pod, f"link add link eth0 name eth0.{number} type vlan id {number}")
        ip(pod, f"link set eth0.{number} up")
        ip(pod, f"addr add 10.88.7.20{number % 10}/32 dev eth0.{number}")
    for number, end in ((10, "a"), (12, "b")):
        ip(pod, f"route add {kernel.address_of(ends[end])}/32 dev eth0.{number} src 10.88.7.20{number % 10}")
    with kernel.echo(site.pods["a"]), kernel.echo(site.pods["b"]):
        assert site.reaches("c", kernel.address_of(ends["a"]))
        assert not site.reaches("c", kernel.address_of(ends["b"])), "12 is not in the trunk"


@pytest.mark.parametrize(("keep", "held"), [(True, {Vlan(1), Vlan(10, True)}), (False, {Vlan(10, True)})])
def test_the_default_vlan_stays_where_it_is_wanted(site: Site, keep: bool, held: set[Vlan]) -> None:
    result = site.call("ADD", "a", vlan=10, preserveDefaultVlan=keep, macspoofchk=True)
    assert site.of_port(result) == held
    # A frame from another MAC is dropped, one from its own is not.
    site.call("ADD", "b", vlan=10)
    with kernel.echo(site.pods["b"]):
        assert site.reaches("a", "10.88.7.3")


def test_a_bridge_that_was_there_keeps_vlans_apart_from_then_on(site: Site) -> None:
    look: Callable[[], bool] = functools.partial(_filters, site.node)
    site.call("ADD", "a")
    assert not look()
    site.call("ADD", "b", vlan=10)
    assert look()
    with kernel.echo(site.pods["a"]):
        assert not site.reaches("b", "10.88.7.2")


def _filters(node: Path) -> bool:
    with Netlink(node) as opened:
        bridge = opened.link("whtbr0")
    assert bridge is not None
    return vlans.filters(bridge)
