"""rtnetlink by hand: the wire format (unit) and real links, addresses and routes in private namespaces
(kernel tier).
"""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Netlink, NetlinkError, Route, links, routes, wire

kernel = pytest.mark.kernel


def test_attributes_survive_packing_with_odd_sizes() -> None:
    data = wire.text(3, "eth0") + wire.u32(4, 1500) + wire.nested(18, wire.u8(1, 7))
    found = wire.attributes(data)
    assert len(data) % 4 == 0
    assert wire.as_text(found[3]) == "eth0"
    assert wire.as_int(found[4]) == 1500
    assert wire.attributes(found[18]) == {1: b"\x07"}


def test_truncated_attributes_and_messages_are_not_read_past_their_end() -> None:
    assert wire.attributes(wire.u32(1, 5)[:-1]) == {}
    with pytest.raises(ValueError, match="datagram"):
        list(wire.replies(b"\xff\0\0\0" + bytes(12)))


@pytest.mark.parametrize(
    "route",
    [
        Route(ip_network("10.1.0.0/24"), gateway=ip_address("192.168.0.2"), link=3, metric=7, protocol=0x77),
        Route(ip_network("0.0.0.0/0"), gateway=ip_address("10.0.0.1")),
        Route(ip_network("fd00:1::/64"), link=2, source=ip_address("fd00::1"), mtu=1400),
        Route(ip_network("10.0.0.0/8"), kind="unreachable", metric=9000, table=1000),
    ],
)
def test_a_route_reads_back_as_it_was_packed(route: Route) -> None:
    request = routes.add_route(route)
    reply = wire.Reply(request.type, 0, 1, request.payload)
    assert routes.parse_route(reply) == route


def test_error_text_says_what_was_asked_and_why() -> None:
    refused = NetlinkError(errno.EEXIST, "add bridge x", "name taken")
    assert refused.errno == errno.EEXIST
    assert str(refused) == "[Errno 17] add bridge x: File exists (name taken)"


def test_names_the_kernel_would_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="interface name"):
        links.add_bridge(End("a-name-of-16-char"))
    with pytest.raises(ValueError, match="index"):
        links.change("a", name="b")
    with pytest.raises(ValueError, match="not a name"):
        netns.path_of("../x")


@pytest.fixture
def blue() -> Iterator[Path]:
    yield from _namespace("blue")


@pytest.fixture
def red() -> Iterator[Path]:
    yield from _namespace("red")


def _namespace(colour: str) -> Iterator[Path]:
    name = f"whtnl{os.getpid()}{colour}"
    path = netns.create(name)
    try:
        yield path
    finally:
        netns.delete(name)


@kernel
def test_a_namespace_is_created_entered_and_gone(blue: Path) -> None:
    here = netns.identity()
    there = netns.call(blue, netns.identity)
    assert there is not None and there == netns.identity(blue) != here
    assert netns.identity() == here, "entering must not move the caller's thread"
    with pytest.raises(FileExistsError):
        netns.create(blue.name)
    with pytest.raises(KeyError):
        netns.call(blue, lambda: dict[str, int]()["absent"])
    assert netns.delete(blue.name) is True
    assert netns.delete(blue.name) is False
    assert netns.identity(blue) is None


@kernel
def test_sysctl_is_written_in_the_namespace_only(blue: Path) -> None:
    name = "net.ipv4.conf.lo.arp_filter"
    before = Path("/proc/sys/net/ipv4/conf/lo/arp_filter").read_text()
    netns.write_sysctl(blue, name, 1)
    assert netns.call(blue, lambda: Path("/proc/sys/net/ipv4/conf/lo/arp_filter").read_text()) == "1\n"
    assert Path("/proc/sys/net/ipv4/conf/lo/arp_filter").read_text() == before


@kernel
def test_one_message_makes_a_complete_pod_link(blue: Path, red: Path) -> None:
    with Netlink(blue) as node, Netlink(red) as pod:
        node.do(links.add_bridge(End("br0", mac="0a:00:00:00:00:01")))
        bridge = node.link("br0")
        assert bridge and bridge.up and bridge.kind == "bridge" and bridge.mac == "0a:00:00:00:00:01"
        descriptor = os.open(red, os.O_RDONLY)
        try:
            node.do(
                links.add_veth(
                    End("veth0", mtu=1400, master=bridge.index),
                    End("eth0", mac="0a:00:00:00:00:02", mtu=1400, namespace=descriptor),
                ),
                links.set_port("veth0", hairpin=True),
            )
        finally:
            os.close(descriptor)
        pod.do(links.change("eth0", up=True))
        node.do(links.change("veth0", alias="pod a"))
        near, far = node.link("veth0"), pod.link("eth0")
        assert near and far
        assert (near.master, near.mtu, near.up, near.alias, near.hairpin) == (
            bridge.index,
            1400,
            True,
            "pod a",
            True,
        )
        assert (far.mac, far.mtu, far.up, far.kind) == ("0a:00:00:00:00:02", 1400, True, "veth")
        assert near.peer == far.index and near.peer_namespace is not None
        node.do(links.change(near.index, master=0, up=False, name="old0", mtu=1300))
        moved = node.link("old0")
        assert moved and not moved.up and moved.master == 0 and moved.mtu == 1300
        node.do(links.delete("old0"))
        assert pod.link("eth0") is None and node.link("old0") is None
        node.do(links.delete("old0"))
        with pytest.raises(NetlinkError) as refused:
            node.do(links.delete("old0", missing_ok=False))
        assert refused.value.errno == errno.ENODEV and "delete link old0" in str(refused.value)


@kernel
def test_a_batch_is_carried_out_whole_and_reports_the_first_refusal(blue: Path) -> None:
    with Netlink(blue) as node:
        wanted = [links.add_bridge(End(f"b{n}")) for n in range(100)]
        wanted.insert(50, links.add_bridge(End("b0")))
        with pytest.raises(NetlinkError) as refused:
            node.do(*wanted)
        assert refused.value.errno == errno.EEXIST and refused.value.asked == "add bridge b0"
        assert {link.name for link in node.links()} >= {f"b{n}" for n in range(100)}


@kernel
def test_links_of_a_group_go_at_once(blue: Path) -> None:
    with Netlink(blue) as node:
        node.do(*[links.add_veth(End(f"v{n}"), End(f"p{n}")) for n in range(5)])
        node.do(*[links.change(f"v{n}", group=77) for n in range(4)], links.delete_group(77))
        assert {link.name for link in node.links() if link.kind == "veth"} == {"v4", "p4"}
        node.do(links.delete_group(77))


@kernel
def test_addresses_and_routes_of_both_families(blue: Path) -> None:
    with Netlink(blue) as node:
        node.do(links.add_bridge(End("br0")))
        bridge = node.index("br0")
        four, six = ip_interface("10.9.0.1/24"), ip_interface("fd09::1/64")
        node.do(
            routes.add_address(bridge, four),
            routes.add_address(bridge, six),
            routes.add_address(bridge, four),
        )
        assert {a.interface for a in node.addresses(bridge)} >= {four, six}
        via = Route(ip_network("10.10.0.0/24"), gateway=ip_address("10.9.0.2"), link=bridge, protocol=0x77)
        via6 = Route(ip_network("fd10::/64"), gateway=ip_address("fd09::2"), link=bridge, protocol=0x77, metric=1024)
        none = Route(ip_network("10.0.0.0/8"), kind="unreachable", metric=4000, protocol=0x77)
        node.do(*[routes.add_route(r) for r in (via, via6, none)])
        assert {r.destination for r in node.routes(protocol=0x77)} == {r.destination for r in (via, via6, none)}
        assert node.route_to(via.destination) == via
        assert node.route_to(via6.destination) == via6
        other = Route(via.destination, gateway=ip_address("10.9.0.3"), link=bridge, protocol=0x77)
        node.do(routes.replace_route(other))
        assert node.route_to(via.destination) == other
        with pytest.raises(NetlinkError, match=r"add route 10.10.0.0/24 via 10.9.0.2 on link \d+: File exists"):
            node.do(routes.add_route(via))
        node.do(routes.delete_route(other), routes.delete_route(other), routes.delete_route(via6))
        assert node.route_to(via.destination) is None
        assert [r.destination for r in node.routes(protocol=0x77)] == [none.destination]
        node.do(routes.set_neighbour(bridge, ip_address("10.9.0.9"), "0a:00:00:00:00:09"))
        assert [n.mac for n in node.neighbours() if n.address == ip_address("10.9.0.9")] == ["0a:00:00:00:00:09"]
        node.do(routes.delete_neighbour(bridge, ip_address("10.9.0.9")))
        node.do(routes.delete_address(bridge, four), routes.delete_address(bridge, four))
        assert four not in {a.interface for a in node.addresses(bridge)}


@kernel
def test_an_ipv6_address_can_be_bound_at_once(blue: Path) -> None:
    with Netlink(blue) as node:
        node.do(links.add_veth(End("a"), End("b")))
        node.do(routes.add_address(node.index("a"), ip_interface("fd09::1/64")))
        with netns.open_socket(blue, socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("fd09::1", 0))


@kernel
def test_threads_can_share_a_session(blue: Path) -> None:
    with Netlink(blue) as node:
        problems: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(20):
                    name = f"t{number}x{turn}"
                    node.do(links.add_bridge(End(name, up=False)))
                    assert node.index(name) > 0
            except BaseException as problem:
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not problems and len(node.links()) >= 80
