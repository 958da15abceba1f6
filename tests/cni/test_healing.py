"""Whatever somebody does to a node's network is mended because the kernel told of it, while pods talk."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.netlink import Link, Netlink, Route, links, routes
from cni import install
from cni.bridge.plan import host_name
from cni.host import RETIRED_GROUP
from cni.hostlocal.store import Owner
from cni.node import network, ports, sysctls
from cni.node.masquerade import table_of
from cni.node.watch import LostInterface, Notice, Watcher, missing
from tests.cni import kernel
from tests.cni.nodes import FakeInformer, Node, Running, new_ground, until

LONG = 10_000.0


@dataclass
class Talk:
    """Connections from one pod to another: one that stays, and a new one every few milliseconds."""

    pod: Path
    address: str
    echoed: int = 0
    begun: int = 0
    failures: list[str] = field(default_factory=list)
    broken: str = ""
    seen: set[str] = field(default_factory=set)
    """by which addresses the new ones came in"""

    def stay(self, stop: threading.Event) -> None:
        with netns.open_socket(self.pod, socket.AF_INET, socket.SOCK_STREAM) as handle:
            handle.settimeout(20)
            handle.connect((self.address, 8))
            try:
                while not stop.is_set():
                    handle.sendall(b"x")
                    assert handle.recv(1) == b"x"
                    self.echoed += 1
                    stop.wait(0.005)
            except OSError as error:
                self.broken = str(error)

    def begin(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.begun += 1
            try:
                self.seen.add(kernel.ask(self.pod, self.address))
            except OSError as error:
                self.failures.append(str(error))
            stop.wait(0.01)


@contextmanager
def talking(pod: Path, to: Path, address: str) -> Iterator[Talk]:
    talk, stop = Talk(pod, address), threading.Event()
    with kernel.echo(to), kernel.staying_echo(to, 8), ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(talk.stay, stop), threads.submit(talk.begin, stop)]
        until(lambda: talk.echoed > 3)
        try:
            yield talk
            echoed, begun = talk.echoed, talk.begun
            until(lambda: talk.echoed > echoed + 3 and talk.begun > begun + 3)
        finally:
            stop.set()
        for future in futures:
            future.result(30)


def no_way(failure: str) -> bool:
    """Whether a new connection was refused at once for want of a route."""
    return "No route to host" in failure or "Network is unreachable" in failure


@dataclass
class World:
    nodes: list[Node]
    running: list[Running]
    threads: ThreadPoolExecutor
    futures: list[Future[None]]

    @property
    def kernel(self) -> Netlink:
        return self._kernel

    def __post_init__(self) -> None:
        self._kernel = Netlink(self.nodes[0].path)

    @property
    def bridge(self) -> Link:
        found = self._kernel.link("cni0")
        assert found is not None
        return found

    def port(self, place: int = 0) -> Link:
        """The node's end of a pod's link, wherever it is attached."""
        name = self.nodes[0].pods[place][1]["interfaces"][1]["name"]
        found = self._kernel.link(name)
        assert found is not None
        return found

    def sysctl(self, name: str, value: int | None = None) -> int:
        path = Path("/proc/sys") / name.replace(".", "/")

        def visit() -> int:
            if value is not None:
                path.write_text(str(value))
            return int(path.read_text())

        return netns.call(self.nodes[0].path, visit)

    def shell(self, words: str) -> str:
        argv = ["nsenter", f"--net={self.nodes[0].path}", *words.split()]
        return asyncio.run(command.run(argv, timeout=60)).stdout.decode()

    def address_is_there(self) -> bool:
        return ip_interface("10.244.1.1/24") in {a.interface for a in self._kernel.addresses(self.bridge.index)}

    def while_down(self, happens: Callable[[], object]) -> Running:
        """The first node's networking ends, something happens, and another begins."""
        self.running[0].stop()
        self.futures[0].result(20)
        happens()
        self.running[0] = one = Running(self.nodes[0])
        for node in self.nodes[:2]:
            # As a real informer, which is only synced when it knows all.
            one.informer.put(node.name, node.number)
        self.futures[0] = self.threads.submit(one.main)
        return one


@contextmanager
def new_world(directory: Path) -> Iterator[World]:
    """Two nodes, two pods on the first and one on the second. Nothing is ever mended because time has passed."""
    with (
        pytest.MonkeyPatch.context() as patch,
        new_ground(directory) as (_, nodes, pods),
        ThreadPoolExecutor(2) as threads,
    ):
        patch.setattr(network, "SAFETY_PERIOD", LONG)
        patch.setattr(network, "RETRY_PERIOD", LONG)
        running = [Running(n) for n in nodes[:2]]
        world = World(nodes, running, threads, [threads.submit(r.main) for r in running])
        try:
            for one in running:
                for node in nodes[:2]:
                    one.tell(partial(FakeInformer.put, name=node.name, number=node.number))
            for one in running:
                until(partial(lambda r: len(r.our_routes()) == 4, one))
                until((one.node.settings.conf_dir / install.CONFLIST).exists)
            for place, pod in enumerate(pods[:3]):
                asyncio.run(nodes[place // 2].add(pod))
            yield world
        finally:
            for one in world.running:
                one.stop()
        for future in world.futures:
            future.result(20)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all that is damaged and mended again: the same daemon does it every time."""
    with new_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def passing(tmp_path: Path) -> Iterator[World]:
    """One for what does not come back."""
    with new_world(tmp_path) as made:
        yield made


def same_bridge_with_ports(world: World, before: Link) -> bool:
    now = world.kernel.link("cni0")
    attached = now is not None and all(world.port(p).master == now.index and world.port(p).hairpin for p in (0, 1))
    return attached and now is not None and now.mac == before.mac and world.address_is_there()


NODE2 = ip_network("10.244.2.0/24")
OWN = ip_network("10.244.1.0/24")


def foreign_route(world: World) -> None:
    route = Route(NODE2, ip_address("10.99.0.3"), world.kernel.index("eth0"))
    world.kernel.do(routes.replace_route(route))


def masquerade(world: World) -> str:
    return world.shell(f"nft list table inet {table_of('cni0')}") if "wherry" in world.shell("nft list tables") else ""


Damage = Callable[[World], object]
Healed = Callable[[World], bool]
DAMAGES: dict[str, tuple[Damage, Healed]] = {
    "bridge address deleted": (
        lambda w: w.kernel.do(routes.delete_address(w.bridge.index, ip_interface("10.244.1.1/24"))),
        World.address_is_there,
    ),
    "bridge down": (lambda w: w.kernel.do(links.change("cni0", up=False)), lambda w: w.bridge.up),
    "connected route deleted": (
        lambda w: w.shell("ip route del 10.244.1.0/24 dev cni0"),
        lambda w: w.kernel.route_to(OWN) is not None,
    ),
    "route to the other node deleted": (
        lambda w: w.shell("ip route del 10.244.2.0/24"),
        lambda w: w.kernel.route_to(NODE2) is not None,
    ),
    "route to the other node led astray": (
        foreign_route,
        lambda w: (r := w.kernel.route_to(NODE2)) is not None and str(r.gateway) == "10.99.0.2",
    ),
    "unreachable route deleted": (
        lambda w: w.shell("ip route del unreachable 10.244.0.0/16"),
        lambda w: w.running[0].our_routes().get("10.244.0.0/16") == "unreachable",
    ),
    "uplink down and up": (
        lambda w: w.kernel.do(links.change("eth0", up=False), links.change("eth0", up=True)),
        lambda w: w.kernel.route_to(NODE2) is not None,
    ),
    "ip_forward off": (lambda w: w.sysctl("net.ipv4.ip_forward", 0), lambda w: w.sysctl("net.ipv4.ip_forward") == 1),
    "IPv6 forwarding off": (
        lambda w: w.sysctl("net.ipv6.conf.all.forwarding", 0),
        lambda w: w.sysctl("net.ipv6.conf.all.forwarding") == 1,
    ),
    "forwarding of the bridge off": (
        lambda w: w.sysctl("net.ipv4.conf.cni0.forwarding", 0),
        lambda w: w.sysctl("net.ipv4.conf.cni0.forwarding") == 1,
    ),
    "forwarding of the uplink off": (
        lambda w: w.sysctl("net.ipv4.conf.eth0.forwarding", 0),
        lambda w: w.sysctl("net.ipv4.conf.eth0.forwarding") == 1,
    ),
    "pod link down": (
        lambda w: w.kernel.do(links.change(w.port().index, up=False)),
        lambda w: w.port().up,
    ),
    "pod link out of the bridge": (
        lambda w: w.kernel.do(links.change(w.port().index, master=0)),
        lambda w: w.port().master == w.bridge.index and w.port().hairpin,
    ),
    "hairpin off": (
        lambda w: w.kernel.do(links.set_port(w.port().name, hairpin=False)),
        lambda w: w.port().hairpin,
    ),
    "masquerade deleted": (
        lambda w: w.shell(f"nft delete table inet {table_of('cni0')}"),
        lambda w: "masquerade" in masquerade(w),
    ),
    "masquerade flushed": (
        lambda w: w.shell(f"nft flush table inet {table_of('cni0')}"),
        lambda w: "jump leaving4" in masquerade(w) and "\tmasquerade\n" in masquerade(w),
    ),
    "a foreign rule before the masquerade": (
        lambda w: w.shell(f"nft insert rule inet {table_of('cni0')} postrouting accept"),
        lambda w: "accept\n" not in masquerade(w).replace("policy accept;", ""),
    ),
    "an element out of the masquerade's set": (
        lambda w: w.shell(f"nft delete element inet {table_of('cni0')} nodes4 {{ 10.99.0.2 }}"),
        lambda w: "10.99.0.2" in masquerade(w),
    ),
}


@pytest.mark.kernel
@pytest.mark.parametrize("what", DAMAGES)
def test_foreign_changes_are_told_and_mended_under_traffic(world: World, what: str) -> None:
    damage, healed = DAMAGES[what]
    (pod, own), (to, result) = world.nodes[0].pods[0], world.nodes[1].pods[0]
    with talking(pod, to, kernel.address_of(result)) as talk:
        # The one before may have broken this, too, and waited for something else.
        until(lambda: healed(world))
        damage(world)
        seconds = until(lambda: healed(world))
    print(f"{what}: {seconds * 1000:.0f} ms, {len(talk.failures)} of {talk.begun} new connections failed")
    assert not talk.broken, "a connection that was there before must outlive it"
    assert talk.seen == {kernel.address_of(own)}, "nothing is translated meanwhile"
    # Without its route a packet is refused by the cluster range's unreachable route, for the moment it takes.
    assert all("route" in what or "uplink" in what for _ in talk.failures), talk.failures
    assert all(map(no_way, talk.failures)), talk.failures


@pytest.mark.kernel
def test_what_was_changed_while_no_daemon_ran_is_mended_when_one_starts(world: World) -> None:
    """Notifications tell only those who listen: a start compares everything once."""
    for what, (damage, healed) in DAMAGES.items():
        world.while_down(partial(damage, world))
        until(partial(healed, world))
        print(f"{what}: mended at the start")


@pytest.mark.kernel
def test_pod_links_that_went_while_no_daemon_ran_are_missed_by_name(passing: World) -> None:
    world = passing
    cut, whole = (pod.name for pod, _ in world.nodes[0].pods)
    link = world.port().name
    one = world.while_down(lambda: world.kernel.do(links.delete(link)))
    asked = frozenset({cut, whole, "somebody-elses"})
    assert one.missing(asked) == [LostInterface("wherry", cut, "eth0", link)]
    assert one.missing(frozenset({whole})) == [], "who is not asked for may be about to come or to go"
    assert not one.lost, "nobody was told"


@pytest.mark.kernel
def test_a_deleted_bridge_comes_back_with_its_mac_and_all_pods(world: World) -> None:
    before = world.bridge
    pod, (to, result) = world.nodes[0].pods[0][0], world.nodes[1].pods[0]
    with talking(pod, to, kernel.address_of(result)) as talk:
        world.kernel.do(links.delete("cni0"))
        seconds = until(lambda: same_bridge_with_ports(world, before))
    print(f"bridge deleted: {seconds * 1000:.0f} ms, {len(talk.failures)} of {talk.begun} new connections failed")
    assert not talk.broken and not talk.failures


@pytest.mark.kernel
def test_the_bridge_filter_switch_is_seen_although_nothing_tells_of_it(world: World) -> None:
    name = sysctls.BRIDGE_FILTER[0]
    if not (Path("/proc/sys") / name.replace(".", "/")).exists():
        pytest.skip("this kernel has no br_netfilter")
    world.sysctl(name, 0)
    until(lambda: world.sysctl(name) == 1)


@pytest.mark.kernel
def test_a_deleted_pod_link_is_told_once_and_a_runtimes_del_never(passing: World) -> None:
    world = passing
    lost = world.running[0].lost
    port = world.port()
    world.kernel.do(links.delete(port.index))
    until(lambda: bool(lost))
    assert lost == [LostInterface("wherry", world.nodes[0].pods[0][0].name, "eth0", port.name)]
    # What `retire` does for a DEL, then the deletion.
    other = world.port(1)
    world.kernel.do(links.change(other.index, up=False, master=0, group=RETIRED_GROUP))
    world.kernel.do(links.change(other.index, name="gone0123456789"))
    world.kernel.do(links.delete_group(RETIRED_GROUP))
    world.kernel.do(routes.delete_address(world.bridge.index, ip_interface("10.244.1.1/24")))
    until(world.address_is_there)  # so what came before has been read, too
    assert len(lost) == 1


@pytest.mark.kernel
def test_pods_that_come_and_go_ask_for_no_look_at_the_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells of the bridge, too, whenever a port comes or goes."""
    looks: list[Notice] = []
    sync = network.NodeNetworking.sync

    async def counted(self: network.NodeNetworking) -> None:
        if self._settings.node_name == world.nodes[0].name and (self._doubts.network or self._doubts.settings):
            looks.append(self._doubts)
        await sync(self)

    monkeypatch.setattr(network.NodeNetworking, "sync", counted)
    with kernel.namespaces(3, "q") as pods:
        for pod in pods:
            asyncio.run(world.nodes[0].add(pod))
        for pod in pods:
            asyncio.run(world.nodes[0].remove(pod))
    before = len(looks)
    world.kernel.do(routes.delete_address(world.bridge.index, ip_interface("10.244.1.1/24")))
    until(world.address_is_there)  # so what came before has been read, too
    assert looks[:before] == []
    assert looks


def _counted(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments at which the first node looks at its network from now on."""
    looks: list[float] = []
    before = network.NodeNetworking.sync

    async def counted(self: network.NodeNetworking) -> None:
        if self is not None and self._settings.node_name == world.nodes[0].name:
            looks.append(time.monotonic())
        await before(self)

    monkeypatch.setattr(network.NodeNetworking, "sync", counted)
    return looks


@pytest.mark.kernel
def test_a_storm_is_mended_together_and_then_there_is_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = _counted(world, monkeypatch)
    for number in range(300):
        world.kernel.do(routes.replace_route(Route(NODE2, ip_address("10.99.0.3"), world.kernel.index("eth0"))))
        if number % 100 == 0:
            world.kernel.do(routes.delete_address(world.bridge.index, ip_interface("10.244.1.1/24")))
    until(lambda: DAMAGES["route to the other node led astray"][1](world) and world.address_is_there())
    began, quiet = time.monotonic(), network.PAUSE * 10
    until(lambda: time.monotonic() - max([began, *looks]) > quiet)
    duration = max(looks) - min(looks)
    assert len(looks) <= duration / network.PAUSE + 2, "two looks are a pause apart"


def test_ports_of_other_networks_and_retired_ones_are_left_alone() -> None:
    mine = Link(7, "veth0123456789a", True, 1500, "", "veth", 3, alias="cni wherry abc eth0")
    assert [r.asked for r in ports.repairs(mine, 3, "wherry")] == ["change bridge port 7"], "hairpin is off"
    assert len(ports.repairs(mine, 4, "wherry")) == 2
    assert not ports.repairs(mine, 3, "other")
    for alias, group in (("cni wherry abc eth0", RETIRED_GROUP), ("", 0), ("my own words here", 0)):
        assert not ports.repairs(Link(7, "v", False, 1500, "", "veth", 0, alias=alias, group=group), 3, "wherry")


def test_only_who_holds_an_address_can_miss_an_interface() -> None:
    held = {Owner("a", "eth0"), Owner("a", "eth1"), Owner("b", "eth0"), Owner("c", "eth0")}
    here = [Link(7, host_name("wherry", "a", "eth0"), True, 1500, "", "veth", 3)]
    here.append(Link(8, host_name("other", "b", "eth0"), True, 1500, "", "veth", 3))
    assert [(lost.container_id, lost.ifname) for lost in missing(held, here, "wherry", {"a", "b", "foreign"})] == [
        ("a", "eth1"),
        ("b", "eth0"),
    ]


def test_what_went_while_notifications_were_lost_is_told_from_the_listing() -> None:
    watcher = Watcher("cni0", "wherry")
    link = Link(7, "veth0123456789a", True, 1500, "", "veth", 3, alias="cni wherry abc eth0")
    assert not watcher.reset([link]).lost
    assert watcher.reset([]).lost == [LostInterface("wherry", "abc", "eth0", "veth0123456789a")]
    assert not watcher.reset([]).lost


pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
