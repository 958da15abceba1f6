"""Links taken out of service, and those that are somebody's already."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Link, Netlink, NetlinkError, Request, links
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
