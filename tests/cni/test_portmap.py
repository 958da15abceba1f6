"""Host ports: the plan, then packets from every side, beside Debian's portmap where both do the same."""

import asyncio
import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.conntrack import Flow
from apimachinery.kit.netlink import End, Netlink, Route, links, routes
from cni import install, types
from cni.daemon import Daemon
from cni.portmap import config, nftables, plan, records, rules
from cni.portmap.plan import Forward, Holder
from cni.portmap.records import Records
from cni.portmap.rules import HostPorts
from cni.portmap.table import Table
from cni.skel import Request
from cni.types import CniError
from tests.cni import kernel
from tests.cni.invoke import Attachment, Caller
from tests.waiting import SECONDS

DEBIAN = Path("/usr/lib/cni")
SCTP = 132
OF_IPTABLES = ("iptables", "legacy")
INET = f"inet {nftables.TABLE}"
PREVIOUS = {
    "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/x"}],
    "ips": [{"address": "10.244.1.5/24"}, {"address": "fd44::5/64"}],
}


def request(mappings: Any, previous: Any = PREVIOUS, **more: Any) -> Request:
    given = {"name": "net", "runtimeConfig": {"portMappings": mappings}, **more}
    return Request("ADD", "c1", "/x", "eth0", config=given, previous=previous)


def holder(name: str, *forwards: Forward) -> Holder:
    return Holder("net", name, "eth0", forwards, ("10.244.1.0/24",), backend="nftables")


def test_a_mapping_without_an_address_serves_every_family_of_the_pod() -> None:
    parsed = config.parse(request([{"hostPort": 8080, "containerPort": 80, "protocol": "UDP"}]))
    expected = {("udp", "", 8080, ip, 80) for ip in ("10.244.1.5", "fd44::5")}
    assert {(f.protocol, f.host_ip, f.host_port, f.pod_ip, f.pod_port) for f in parsed.forwards} == expected
    assert parsed.links == ("cni0",) and parsed.sources == ("10.244.1.0/24", "fd44::/64")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("0.0.0.0", [("", "10.244.1.5")]),
        ("::", [("", "fd44::5")]),
        ("127.0.0.1", [("127.0.0.1", "10.244.1.5")]),
        ("FD00:0::1", [("fd00::1", "fd44::5")]),
    ],
)
def test_a_host_address_serves_its_family(address: str, expected: list[tuple[str, str]]) -> None:
    parsed = config.parse(request([{"hostPort": 1, "containerPort": 2, "hostIP": address}]))
    assert [(f.host_ip, f.pod_ip) for f in parsed.forwards] == expected


def test_containerd_writes_the_keys_in_its_own_way() -> None:
    given = {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "127.0.0.1"}
    assert config.parse(request([given])).forwards == (Forward("tcp", "127.0.0.1", 8080, "10.244.1.5", 80),)


GOOD = {"hostPort": 1, "containerPort": 2}


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (request([{**GOOD, "hostPort": 0}]), 7, r"portMappings\[0\].hostPort"),
        (request([GOOD, {**GOOD, "containerPort": 65536}]), 7, r"portMappings\[1\].containerPort"),
        (request([{**GOOD, "protocol": "icmp"}]), 7, "protocol"),
        (request([{**GOOD, "hostIP": "here"}]), 7, "hostIP"),
        (request([{**GOOD, "hostIP": "::1"}], {"ips": [{"address": "10.0.0.1/24"}]}), 7, "no IPv6 address"),
        (request([GOOD], {"ips": []}), 7, "no ips"),
        (request([GOOD], None), 7, "prevResult"),
        (request("8080"), 6, "not a list"),
        (request([8080]), 6, "not an object"),
        (request([], snat="yes"), 6, "snat"),
        (request([], backend="nftables", masqAll=True), 2, "masqAll"),
        (request([], backend="nftables", markMasqBit=0), 2, "markMasqBit"),
        (request([], backend="ipfw"), 7, "backend"),
        (request([], backend="nftables", conditionsV4=["-s", "10.0.0.0/8"]), 2, "conditionsV4"),
        (request([], conditionsV4=["ip saddr 10.0.0.0/8"]), 7, "conditionsV4"),
        (request([], conditionsV6="-s fd00::/8"), 6, "conditionsV6"),
        (request([], conditionsV6=["-s", "fd00::/8\n-F"]), 7, "conditionsV6"),
        (request([], markMasqBit=32), 7, "markMasqBit"),
        (request([], markMasqBit=3, externalSetMarkChain="KUBE-MARK-MASQ"), 7, "externalSetMarkChain"),
        (request([], externalSetMarkChain="A CHAIN"), 7, "externalSetMarkChain"),
        (request([], masqAll="yes"), 6, "masqAll"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: Request, code: int, text: str) -> None:
    with pytest.raises(CniError, match=text) as refused:
        config.parse(given)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (("tcp", "", 80), ("tcp", "", 80), True),
        (("tcp", "10.0.0.1", 80), ("tcp", "", 80), True),
        (("tcp", "", 80), ("tcp", "10.0.0.1", 80), True),
        (("tcp", "10.0.0.1", 80), ("tcp", "10.0.0.2", 80), False),
        (("tcp", "", 80), ("udp", "", 80), False),
        (("tcp", "", 80), ("tcp", "", 81), False),
    ],
)
def test_one_port_has_one_pod(one: tuple[str, str, int], other: tuple[str, str, int], meets: bool) -> None:
    first, second = holder("a", Forward(*one, "10.1.0.1", 1)), holder("b", Forward(*other, "10.1.0.2", 1))
    assert bool(plan.clash(second, [first])) is meets
    twice = holder("c", Forward(*one, "10.1.0.1", 1), Forward(*other, "10.1.0.1", 2))
    assert bool(plan.clash(twice, [])) is meets
    other_family = holder("d", Forward(one[0], "", one[2], "fd44::1", 1))
    assert not plan.clash(other_family, [first])


def test_only_misled_udp_flows_are_stale() -> None:
    forwards = [Forward("udp", "", 53, "10.1.0.1", 5353), Forward("tcp", "", 80, "10.1.0.1", 80)]
    node, pod, former = ("10.0.0.1", 53), ("10.1.0.1", 5353), ("10.1.0.9", 5353)
    right, missed, late = (Flow(17, node, to, b"") for to in (pod, node, former))
    tcp = Flow(6, ("10.0.0.1", 80), ("10.0.0.1", 80), b"")
    others = Flow(17, ("10.0.0.1", 54), ("10.0.0.1", 54), b"")
    flows = [right, missed, late, tcp, others]
    assert rules.stale(flows, forwards, ended=False) == [missed, late]
    assert rules.stale(flows, forwards, ended=True) == [right]


def test_a_change_costs_what_changed_whatever_other_pods_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another pod's record is read nor its port compared."""
    ran: list[str] = []
    monkeypatch.setattr(Table, "_run", lambda self, text: ran.append(text))
    served = HostPorts(tmp_path / "hostports")
    for number in range(20):
        served.add(holder(f"c{number}", Forward("tcp", "", 8000 + number, "10.1.0.1", 1)), "/x")
    decoded: list[Path] = []
    compared: list[int] = []
    monkeypatch.setattr(records, "_decode", lambda path: decoded.append(path))
    clash = plan.clash

    def counted(wanted: Holder, others: list[Holder]) -> str:
        compared.append(len(others))
        return clash(wanted, others)

    monkeypatch.setattr(plan, "clash", counted)
    served.add(holder("new", Forward("tcp", "", 9000, "10.1.0.2", 1)), "/x")
    with pytest.raises(CniError, match="host port conflict"):
        served.add(holder("taker", Forward("tcp", "10.0.0.1", 9000, "10.1.0.3", 1)), "/x")
    served.remove(("net", "new", "eth0"))
    assert (decoded, compared) == ([], [0, 1])
    assert ran[-1] == nftables.removed(holder("new", Forward("tcp", "", 9000, "10.1.0.2", 1)))
    served.add(holder("taker", Forward("tcp", "10.0.0.1", 9000, "10.1.0.3", 1)), "/x")


def test_what_another_process_changed_is_seen(tmp_path: Path) -> None:
    """An executable without a daemon writes the same records."""
    ours, theirs = Records(tmp_path / "r"), Records(tmp_path / "r")
    one, two = holder("a", Forward("tcp", "", 80, "10.1.0.1", 1)), holder("b", Forward("udp", "", 53, "10.1.0.2", 1))
    for turn in (ours, theirs, ours):
        with turn.lock():
            turn.write(one, "/x")
        with theirs.lock():
            assert theirs.all() == [one] == theirs.users([("tcp", 4, 80)]) and not theirs.users([("tcp", 6, 80)])
            theirs.write(two, "/x")
        with ours.lock():
            assert ours.count("nftables") == 2 and ours.get(two.key) == two == ours.users([("udp", 4, 53)])[0]
            ours.remove(one.key)
            ours.remove(two.key)
        with theirs.lock():
            assert theirs.all() == []


@dataclass
class World:
    """A node with a pod network of both families, a machine beside it on 10.99.0.0/24, and pods."""

    kind: str
    base: Path
    node: Path
    beside: Path
    pods: list[Path]

    @property
    def socket(self) -> Path:
        return self.base / "run" / "cni.sock"

    def conflist(self) -> dict[str, Any]:
        ranges = [[{"subnet": "10.88.7.0/24"}], [{"subnet": "fd88::/64"}]]
        common: dict[str, Any] = {"daemonSocket": str(self.socket)} if self.kind != "debian" else {}
        bridge = {
            "type": "bridge",
            "bridge": "whtbr0",
            "isDefaultGateway": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "dataDir": str(self.base / "data"), "ranges": ranges},
            **common,
        }
        portmap = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}, **common}
        if self.kind in OF_IPTABLES:
            bridge["ipMasqBackend"] = portmap["backend"] = "iptables"
        return {"cniVersion": "1.0.0", "name": "whtnet", "plugins": [bridge, portmap]}

    def attachment(self, place: int, *mappings: dict[str, Any]) -> Attachment:
        pod = self.pods[place]
        return Attachment(f"c{place}", str(pod), capabilities={"portMappings": list(mappings)})

    def run(self, scenario: Callable[[Caller], Awaitable[None]]) -> None:
        async def whole() -> None:
            caller = Caller([DEBIAN if self.kind == "debian" else self.base / "bin"])
            if self.kind in ("alone", "debian"):
                await scenario(caller)
                return
            daemon = Daemon(self.socket, self.base / "data")
            await daemon.start()
            healing = asyncio.ensure_future(daemon.heal())
            try:
                await scenario(caller)
            finally:
                healing.cancel()
                await daemon.stop()

        kernel.inside(self.node, whole)

    async def nft(self, text: str) -> str:
        argv = ["nsenter", f"--net={self.node}", "nft", *text.split()]
        return (await command.run(argv, timeout=60)).stdout.decode()


def legacy_alone(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose iptables are the legacy kind."""
    base.mkdir()
    for program in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            found = shutil.which(f"{program}-legacy{suffix}")
            if found is None:
                pytest.skip("there is no iptables-legacy")
            (base / f"{program}{suffix}").symlink_to(found)
    monkeypatch.setenv("PATH", str(base), prepend=":")


@pytest.fixture(params=["daemon", "alone", "debian", *OF_IPTABLES])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    kind = request.param
    if kind == "legacy":
        legacy_alone(tmp_path / "programs", monkeypatch)
    if kind == "debian" and (not (DEBIAN / "portmap").exists() or (DEBIAN / "flannel").exists()):
        pytest.skip("containernetworking-plugins from 1.0 on is not installed")
    if kind != "debian":
        install.install_executables(tmp_path / "bin")
    with kernel.namespaces(2, "n") as (node, beside), kernel.namespaces(3, "p") as pods:
        with beside.open("rb") as far, Netlink(node) as here, Netlink(beside) as there:
            here.do(links.add_veth(End("uplink"), End("uplink", namespace=far.fileno())))
            for side, number in ((here, 1), (there, 2)):
                side.do(links.change("uplink", up=True))
                for text in (f"10.99.0.{number}/24", f"fd99::{number}/64"):
                    side.do(routes.add_address(side.index("uplink"), ip_interface(text)))
            link = there.index("uplink")
            for network, gateway in (("10.88.7.0/24", "10.99.0.1/24"), ("fd88::/64", "fd99::1/64")):
                there.do(routes.add_route(Route(ip_network(network), ip_interface(gateway).ip, link)))
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            netns.write_sysctl(node, name, 1)
        yield World(kind, tmp_path, node, beside, pods)


WEB = {"hostPort": 8080, "containerPort": 7, "protocol": "tcp"}


def test_what_pods_share_stands_in_the_table_once() -> None:
    forwards = [Forward("tcp", "", port, f"10.244.1.{port}", 80) for port in (2, 3)]
    one, two = holder("a", forwards[0]), holder("b", forwards[1])
    assert nftables.ruleset([one, two]).count("ip saddr 10.244.1.0/24 ") == 1
    assert "10.244.1.0/24" not in nftables.ruleset([replace(one, snat=False)])


def test_the_table_is_written_whole_only_for_a_network_that_it_does_not_know(tmp_path: Path) -> None:
    known, records = [], Records(tmp_path)
    one = holder("a", Forward("tcp", "", 80, "10.244.1.2", 80))
    others = [replace(one, container_id="b"), replace(one, container_id="c", sources=("10.244.2.0/24",))]
    with records.lock():
        for each in (one, *others, replace(others[1], container_id="d", snat=False)):
            known.append(records.know_networks(each))
            records.write(each, "/x")
        records.remove(others[1].key)
        known.append(records.know_networks(others[1]))
    with records.lock():
        assert records.know_networks(one), "also when all is read again"
    assert known == [False, True, False, True, False]


@pytest.mark.kernel
def test_a_host_port_answers_from_every_side(world: World) -> None:
    async def scenario(caller: Caller) -> None:
        network, what = world.conflist(), world.attachment(0, WEB)
        result = await caller.add(network, what)
        await caller.add(network, world.attachment(1))
        # Debian's looks for the rules of the last family in the tables of each.
        if world.kind != "debian":
            await caller.check(network, what, result)
        with kernel.echo(world.pods[0]):
            # From another machine: with its own address.
            assert kernel.ask(world.beside, "10.99.0.1", 8080) == "10.99.0.2"
            assert kernel.ask(world.beside, "fd99::1", 8080) == "fd99::2"
            # From the node itself: by its addresses, and by its loopback.
            assert kernel.ask(world.node, "10.99.0.1", 8080) == "10.99.0.1"
            assert kernel.ask(world.node, "127.0.0.1", 8080) == "10.88.7.1"
            # From a pod beside it, and from itself: as the node.
            for pod in world.pods[:2]:
                assert kernel.ask(pod, "10.99.0.1", 8080) == "10.88.7.1"
                assert kernel.ask(pod, "10.88.7.1", 8080) == "10.88.7.1"
            # The pod's own port is no different, and no other port of the node opened.
            assert kernel.ask(world.beside, kernel.address_of(result)) == "10.99.0.2"
            with pytest.raises(OSError):
                kernel.ask(world.beside, "10.99.0.1", 8081, timeout=1)
            for _ in range(2):
                await caller.delete(network, what, result)
            with pytest.raises(OSError):
                kernel.ask(world.beside, "10.99.0.1", 8080, timeout=1)

    world.run(scenario)


@pytest.mark.kernel
def test_sctp_is_led_to_the_pod(world: World) -> None:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM, SCTP).close()
    except OSError:
        pytest.skip("this kernel has no SCTP")

    async def scenario(caller: Caller) -> None:
        network, what = world.conflist(), world.attachment(0, {**WEB, "protocol": "sctp"})
        result = await caller.add(network, what)
        with kernel.echo(world.pods[0], protocol=SCTP):
            for address, seen in (("10.99.0.1", "10.99.0.2"), ("fd99::1", "fd99::2")):
                assert kernel.ask(world.beside, address, 8080, protocol=SCTP) == seen
            assert kernel.ask(world.node, "127.0.0.1", 8080, protocol=SCTP) == "10.88.7.1"
            await caller.delete(network, what, result)
            with pytest.raises(OSError):
                kernel.ask(world.beside, "10.99.0.1", 8080, timeout=1, protocol=SCTP)

    world.run(scenario)


@pytest.mark.kernel
def test_an_address_of_the_node_alone(world: World) -> None:
    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        await caller.add(network, world.attachment(0, {**WEB, "hostIP": "127.0.0.1"}))
        await caller.add(network, world.attachment(1, {**WEB, "hostIP": "10.99.0.1"}))
        with kernel.echo(world.pods[0], 7), pytest.raises(OSError):
            kernel.ask(world.beside, "10.99.0.1", 8080, timeout=1)
        with kernel.echo(world.pods[0]):
            assert kernel.ask(world.node, "127.0.0.1", 8080) == "10.88.7.1"
        with kernel.echo(world.pods[1]):
            assert kernel.ask(world.beside, "10.99.0.1", 8080) == "10.99.0.2"
            with pytest.raises(OSError):
                kernel.ask(world.beside, "fd99::1", 8080, timeout=1)

    world.run(scenario)


@contextlib.contextmanager
def udp_echo(namespace: Path, port: int, word: bytes) -> Iterator[None]:
    with netns.open_socket(namespace, socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", port))
        server.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    server.sendto(word, server.recvfrom(100)[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)


@pytest.mark.kernel
@pytest.mark.parametrize("world", ["daemon", "alone", *OF_IPTABLES], indirect=True)
def test_a_udp_client_that_never_stops_finds_each_new_pod(world: World) -> None:
    udp = {"hostPort": 5353, "containerPort": 53, "protocol": "udp"}

    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        with netns.open_socket(world.beside, socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            client.connect(("10.99.0.1", 5353))
            client.send(b"before any pod")
            with pytest.raises(ConnectionRefusedError):
                client.recv(100)
            for place, word in enumerate((b"first", b"second")):
                what = world.attachment(place, udp)
                await caller.add(network, what)
                with udp_echo(world.pods[place], 53, word):
                    client.send(b"?")
                    assert client.recv(100) == word
                await caller.delete(network, what)

    world.run(scenario)


@pytest.mark.kernel
@pytest.mark.parametrize("world", ["daemon", "alone", *OF_IPTABLES], indirect=True)
def test_a_taken_port_is_refused_and_nothing_of_the_second_pod_stays(world: World) -> None:
    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        first, second = world.attachment(0, WEB), world.attachment(1, {**WEB, "hostIP": "10.99.0.1"})
        await caller.add(network, first)
        with pytest.raises(CniError, match="host port conflict: 10.99.0.1 tcp port 8080 already leads to container c0"):
            await caller.add(network, second)
        await caller.delete(network, second)
        with kernel.echo(world.pods[0]):
            assert kernel.ask(world.beside, "10.99.0.1", 8080) == "10.99.0.2"
        await caller.delete(network, first)
        await caller.add(network, second)

    world.run(scenario)


@pytest.mark.kernel
@pytest.mark.parametrize("world", ["daemon", "alone", *OF_IPTABLES], indirect=True)
def test_pods_cannot_reach_the_nodes_loopback(world: World) -> None:
    async def scenario(caller: Caller) -> None:
        network, what = world.conflist(), world.attachment(1, WEB)
        await caller.add(network, world.attachment(0))
        lead_loopback_to_the_node(world.pods[0])
        netns.write_sysctl(world.node, "net.ipv4.conf.whtbr0.route_localnet", 1)
        with netns.open_socket(world.node, socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 99))
            server.settimeout(SECONDS)
            _send(world.pods[0], ("127.0.0.1", 99))
            assert server.recv(100) == b"x", "the way is open where nobody closes it"
            await caller.add(network, what)
            server.settimeout(0.5)
            for _ in range(2):
                _send(world.pods[0], ("127.0.0.1", 99))
                with pytest.raises(TimeoutError):
                    server.recv(100)
                # Nor once nobody needs the way any more: the setting stays.
                await caller.delete(network, what)

    world.run(scenario)


def lead_loopback_to_the_node(pod: Path) -> None:
    """What a pod may do that has the capability: its own loopback makes way."""
    with Netlink(pod) as opened:
        opened.do(routes.delete_address(opened.index("lo"), ip_interface("127.0.0.1/8")))
        to, by = ip_network("127.0.0.1/32"), ip_interface("10.88.7.1").ip
        opened.do(routes.add_route(Route(to, by, opened.index("eth0"))))
    netns.write_sysctl(pod, "net.ipv4.conf.all.route_localnet", 1)


def _send(namespace: Path, to: tuple[str, int]) -> None:
    with netns.open_socket(namespace, socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", to)


@pytest.mark.kernel
@pytest.mark.parametrize("damage", ["flush ruleset", f"flush map {INET} tcp4", f"delete table {INET}"])
@pytest.mark.parametrize("world", ["daemon"], indirect=True)
def test_rules_come_back_after_a_stranger(world: World, damage: str) -> None:
    async def scenario(caller: Caller) -> None:
        network = world.conflist()
        result = await caller.add(network, world.attachment(0, WEB))
        # What two pods share stands in the table once.
        await caller.add(network, world.attachment(1, {**WEB, "hostPort": 8081}))
        await world.nft(damage)
        deadline = time.monotonic() + 60
        while not await _passes(caller, network, world.attachment(0, WEB), result):
            assert time.monotonic() < deadline, "the rules did not come back"
            await asyncio.sleep(0.02)
        with kernel.echo(world.pods[0]):
            assert kernel.ask(world.beside, "10.99.0.1", 8080) == "10.99.0.2"

    world.run(scenario)


async def _passes(caller: Caller, network: dict[str, Any], what: Attachment, result: dict[str, Any]) -> bool:
    try:
        await caller.check(network, what, result)
    except CniError as missing:
        assert missing.code == types.INTERNAL
        return False
    return True


@pytest.mark.kernel
@pytest.mark.parametrize("world", ["daemon"], indirect=True)
def test_a_start_and_gc_free_what_no_pod_holds(world: World) -> None:
    network = world.conflist() | {"cniVersion": "1.1.0"}

    async def first(caller: Caller) -> None:
        for place in range(3):
            await caller.add(network, world.attachment(place, {**WEB, "hostPort": 8080 + place}))
        await caller.gc(network, [("c0", "eth0"), ("c1", "eth0")])
        assert ports(await world.nft(f"list map {INET} tcp4")) == {8080, 8081}

    async def second(caller: Caller) -> None:
        assert ports(await world.nft(f"list map {INET} tcp4")) == {8081}
        await caller.status(network)

    def ports(text: str) -> set[int]:
        return {port for port in range(8080, 8083) if f"{port} :" in text}

    world.run(first)
    netns.delete(world.pods[0].name)
    world.run(second)
