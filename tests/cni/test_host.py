"""Links taken out of service, those that are somebody's already, and what settings of the bridge do to packets."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Link, Netlink, NetlinkError, Request, links, routes
from cni.bridge import plugin as bridge
from cni.host import RETIRED_GROUP, Host, free_retired_now, retire
from cni.skel import Request as Call
from cni.types import UNSUPPORTED_FIELD, CniError
from tests.cni import kernel


@dataclass
class Refusing:
    """A kernel that renames nothing that is up, as before Linux 6.2."""

    up: bool = True
    asked: list[Request] = field(default_factory=list)

    def do(self, *requests: Request) -> None:
        for request in requests:
            self.asked.append(request)
            if self.up and len(self.asked) == 1:
                raise NetlinkError(errno.EBUSY, request.asked)
            self.up = False


def test_what_cannot_be_renamed_while_it_is_up_is_taken_down_first() -> None:
    fake = Refusing()
    name = retire(cast(Netlink, fake), 7)
    down = links.change(7, up=False, master=0, group=RETIRED_GROUP)
    assert fake.asked[1:] == [down, links.change(7, name=name)]


@dataclass
class Becoming:
    """A kernel in which a port passes through these states, and keeps the last."""

    states: list[Link | None]
    looks: int = 0

    def link(self, _: str) -> Link | None:
        self.looks += 1
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


IFF_RUNNING = 0x40
MADE = Link(7, "veth1", up=True, mtu=1500, mac="", flags=links.IFF_UP | IFF_RUNNING)


def test_a_port_carries_packets_when_the_kernel_calls_it_up() -> None:
    """A link just made is said to be running while nobody has looked at its carrier yet."""
    fake = Becoming([MADE, replace(MADE, state=2, flags=links.IFF_UP), replace(MADE, state=links.IF_OPER_UP)])
    bridge._wait_for(cast(Netlink, fake), "veth1")
    assert fake.looks == 3


@pytest.mark.parametrize("states", [[MADE, None], [MADE]])
def test_a_port_that_never_carries_packets_is_not_waited_for_forever(
    monkeypatch: pytest.MonkeyPatch, states: list[Link | None]
) -> None:
    monkeypatch.setattr(bridge, "CARRIER_SECONDS", 0.01)
    with pytest.raises(CniError, match="veth1 does not come up"):
        bridge._wait_for(cast(Netlink, Becoming(states)), "veth1")


def call(container: str, pod: object, **more: Any) -> Call:
    config: dict[str, Any] = {"name": "whtnet", "bridge": "whtbr0", **more}
    return Call("ADD", container, str(pod), "eth0", config=config)


@pytest.mark.kernel
def test_an_attachment_that_stands_is_not_taken_away_by_another_of_its_name() -> None:
    """Nor by one that finds its interface's name taken in the pod."""
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(2, "p") as (one, two):

        def scenario() -> None:
            with Netlink() as opened:
                host = Host(opened, lambda: free_retired_now(opened))
                bridge.add(call("c1", one), host)
                for again in (call("c1", two), call("c2", one)):
                    with pytest.raises(CniError, match="already exists"):
                        bridge.add(again, host)
                with Netlink(one) as inside:
                    link = inside.link("eth0")
                    assert link and link.up
                    near = opened.link(link.peer)
                    assert near and near.up and near.alias == "cni whtnet c1 eth0"
                assert len([found for found in opened.links() if found.kind == "veth"]) == 1
                bridge.delete(call("c1", one), host)
                assert not [found for found in opened.links() if found.kind == "veth"]

        netns.call(node, scenario)


@dataclass
class Unlocking:
    """A kernel whose bridge knows no locked ports, as before Linux 5.18: it takes the setting and forgets it."""

    real: Netlink

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def do(self, *requests: Request) -> None:
        locking = links.set_port(7, locked=True).payload[-4:]
        self.real.do(*(request for request in requests if not request.payload.endswith(locking)))


@pytest.mark.kernel
def test_a_guarded_pod_is_heard_under_its_own_mac_alone() -> None:
    """Raw frames from two pods: one is guarded. Where a bridge cannot do that, the pod is refused and nothing stays."""
    own, other, kind = "02:00:00:00:00:07", "02:00:00:00:00:99", 0x88B5
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(2, "p") as (pod, listener):

        def scenario() -> None:
            with Netlink() as opened:
                host = Host(opened, lambda: free_retired_now(opened))
                guarded = call("c1", pod, macspoofchk=True, runtimeConfig={"mac": own})
                with pytest.raises(CniError, match=r"macspoofchk: .* Linux 5.18") as refused:
                    bridge.add(guarded, Host(cast(Netlink, Unlocking(opened)), host.free_retired))
                assert refused.value.code == UNSUPPORTED_FIELD
                assert not [found for found in opened.links() if found.kind == "veth"]
                previous = bridge.add(guarded, host)
                bridge.check(replace(guarded, command="CHECK", previous=previous), host)
                bridge.add(call("c2", listener), host)
                near = previous["interfaces"][1]["name"]
                assert heard(pod, listener, (other, own), kind) == [own]
                opened.do(links.set_port(near, locked=False))
                assert heard(pod, listener, (other, own), kind) == [other, own]
                with pytest.raises(CniError, match="not dropped any more"):
                    bridge.check(replace(guarded, command="CHECK", previous=previous), host)

        netns.call(node, scenario)


def heard(sender: Path, listener: Path, macs: tuple[str, ...], kind: int) -> list[str]:
    """Under which MACs frames of the sender arrive; what is sent last arrives in any case."""
    with (
        netns.open_socket(sender, socket.AF_PACKET, socket.SOCK_RAW, 0) as out,
        netns.open_socket(listener, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)) as into,
    ):
        into.settimeout(60)
        out.bind(("eth0", 0))
        for mac in macs:
            out.send(b"\xff" * 6 + links.mac_bytes(mac) + kind.to_bytes(2, "big") + bytes(50))
        found: list[str] = []
        while not found or found[-1] != macs[-1]:
            found.append(links.mac_text(into.recv(100)[6:12]))
        return found


@pytest.mark.kernel
def test_isolated_pods_reach_everybody_but_each_other() -> None:
    kind = 0x88B5
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(3, "p") as (one, two, plain):

        def scenario() -> None:
            with Netlink() as opened:
                host = Host(opened, lambda: free_retired_now(opened))
                bridge.add(call("c1", one, portIsolation=True), host)
                bridge.add(call("c2", two, portIsolation=True), host)
                bridge.add(call("c3", plain), host)
            with (
                netns.open_socket(one, socket.AF_PACKET, socket.SOCK_RAW, 0) as out,
                netns.open_socket(two, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)) as isolated,
                netns.open_socket(plain, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)) as open_to_all,
            ):
                frames = [
                    b"\xff" * 6 + links.mac_bytes(mac) + kind.to_bytes(2, "big") + bytes(50)
                    for mac in ("02:00:00:00:00:07", "02:00:00:00:00:08")
                ]
                for each in (out, open_to_all):
                    each.bind(("eth0", kind))
                for each in (isolated, open_to_all):
                    each.settimeout(60)
                out.send(frames[0])
                assert open_to_all.recv(100) == frames[0]
                # What comes after it shows that the other never came.
                open_to_all.send(frames[1])
                assert isolated.recv(100) == frames[1]

        netns.call(node, scenario)


def addressed(container: str, pod: Path, data: Path, subnet: str, **more: Any) -> Call:
    ipam = {"type": "host-local", "dataDir": str(data), "subnet": subnet}
    return call(container, pod, ipam=ipam, **more)


@pytest.mark.kernel
def test_an_address_that_the_bridge_has_makes_way_for_the_gateways_only_when_it_is_told_to(tmp_path: Path) -> None:
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(1, "p") as (pod,):

        def scenario() -> None:
            with Netlink() as opened:
                host = Host(opened, lambda: free_retired_now(opened))
                opened.do(links.add_bridge(End("whtbr0")))
                index = opened.index("whtbr0")
                opened.do(routes.add_address(index, ip_interface("10.5.0.1/24")))
                asked = addressed("c1", pod, tmp_path, "10.99.1.0/24", isGateway=True)
                with pytest.raises(CniError, match="already has an IP address different"):
                    bridge.add(asked, host)
                assert not [found for found in opened.links() if found.kind == "veth"]
                assert not [held for held in (tmp_path / "whtnet").iterdir() if held.name.startswith("10.99.1.")]
                bridge.add(replace(asked, config={**asked.config, "forceAddress": True}), host)
                held = [a.interface for a in opened.addresses(index) if a.interface.version == 4]
                assert held == [ip_interface("10.99.1.1/24")]

        netns.call(node, scenario)


@pytest.mark.kernel
def test_with_duplicate_detection_an_address_is_answered_when_it_is_nobody_elses(tmp_path: Path) -> None:
    with kernel.namespaces(1, "n") as (node,), kernel.namespaces(2, "p") as (one, two):
        for pod in (one, two):
            # It begins at once, and not within a second.
            netns.write_sysctl(pod, "net.ipv6.conf.default.router_solicitation_delay", 0)

        def scenario() -> None:
            with Netlink() as opened:
                host = Host(opened, lambda: free_retired_now(opened))
                bridge.add(addressed("c1", one, tmp_path / "a", "fd99:7::/64", enabledad=True), host)
                with Netlink(one) as inside:
                    flags = {str(a.interface): a.flags for a in inside.addresses(inside.index("eth0"))}
                assert not flags["fd99:7::2/64"] & routes.IFA_F_TENTATIVE
                with pytest.raises(CniError, match="somebody else on the bridge has fd99:7::2/64 already"):
                    bridge.add(addressed("c2", two, tmp_path / "b", "fd99:7::/64", enabledad=True), host)
                assert len([found for found in opened.links() if found.kind == "veth"]) == 1

        netns.call(node, scenario)
